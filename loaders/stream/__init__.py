"""Change streams: what happened at the source, as it happens."""
