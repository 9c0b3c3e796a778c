"""A person is removed, and stays removed."""
