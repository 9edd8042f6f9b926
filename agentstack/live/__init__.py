"""What only the engine and the cluster know of an environment."""
