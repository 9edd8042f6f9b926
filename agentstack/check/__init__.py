"""All rules on Kubernetes objects that others wrote."""
