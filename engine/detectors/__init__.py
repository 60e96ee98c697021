"""Detectors: observations of one key to findings; one method per file."""
