"""What only the running stack knows: drift, and what the engine would do with a change."""
