"""Takes requests in, by A2A 1.0, and tells how their tasks stand."""
