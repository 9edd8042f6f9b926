"""What answers agents' model calls: a hosted API, a server elsewhere, or vLLM or Ollama in the agents' namespace."""
