"""Evidence and notices."""
