"""A shop's exports instead of a MongoDB."""
