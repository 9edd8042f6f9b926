"""What an environment declares, as nodes and edges, without any format."""
