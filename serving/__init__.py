"""What people and programs read: every number comes through `serving.metrics`."""
