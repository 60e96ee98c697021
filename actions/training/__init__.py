"""Actions on training runs: freeze, suspend, stop."""
