"""What a change does to an environment, decided from two renderings of it."""
