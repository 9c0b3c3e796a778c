"""Moves documents from MongoDB (or files) into the `raw` schema of Postgres: whole, once, in order."""
