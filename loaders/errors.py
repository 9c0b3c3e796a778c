"""Errors that are the user's to mend."""


class UserError(Exception):
    """Something the user can put right; the message is one line that says what and how."""
