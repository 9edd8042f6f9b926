"""From an environment's files to its Kubernetes objects: the program runs in-process, without the engine."""
