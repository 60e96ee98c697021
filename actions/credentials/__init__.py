"""Actions on credentials: rotate, disable."""
