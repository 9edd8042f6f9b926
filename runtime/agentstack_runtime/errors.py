"""The error that rooms share."""


class Unavailable(Exception):
    """A dependency does not answer: wait and try again."""
