"""BSON documents as rows of text, and back."""
