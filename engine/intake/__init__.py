"""Doors: messages from brokers and senders to events."""
