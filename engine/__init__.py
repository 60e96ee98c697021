"""Halon's engine: events in, verified containment out. `engine.app` puts the parts together."""
