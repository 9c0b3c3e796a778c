"""Moves documents from MongoDB (or files) into schema `raw` of Postgres: whole, once, in order."""
