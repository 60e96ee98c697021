"""Actions on targets of any kind: the operator's own programs, HTTP services, messages."""
