"""The review of an incident to pages, proposals, plots, rule tests and exports: pure, above what reads the store."""
