"""Which fields the documents have, and what changed."""
