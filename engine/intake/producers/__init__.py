"""Messages of real producers to events: one producer per file, all in `table.py`."""
