"""Durable state: one SQLite database, one writer."""
