"""What an agent's declaration becomes: each value with its origin, each object with its purpose."""
