"""The namespaces of the stack and what holds in each: Pod Security, quota, limits, default deny."""
