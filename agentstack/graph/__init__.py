"""Pictures of what is declared: agents, topics, stores, model backends, and the flows between them."""
