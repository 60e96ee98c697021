"""The action catalogue: one class per file, each importing the action contract and the model only."""
