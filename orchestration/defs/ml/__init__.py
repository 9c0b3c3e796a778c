"""Models of the future, learned from features and written to the `ml` schema."""
