"""Actions on models: quarantine, restore, repoint."""
