"""Conditions: CEL text to a checked syntax tree to something that evaluates."""
