"""The whole stack: its parts, in the order in which they need each other."""
