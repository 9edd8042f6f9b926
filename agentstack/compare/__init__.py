"""What differs between two revisions of an environment: objects, findings, capacity, cost."""
