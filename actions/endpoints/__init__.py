"""Actions on endpoints: isolate what serves."""
