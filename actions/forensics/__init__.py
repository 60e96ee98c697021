"""Steps that examine models and data."""
