"""The demonstration: a real training run is poisoned, seen, and contained. Run it with `make demo`."""
