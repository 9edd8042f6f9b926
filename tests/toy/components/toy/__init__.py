"""A part that does nothing, to see what adding one takes."""
