"""The dashboard of the toy."""
