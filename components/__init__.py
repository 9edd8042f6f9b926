"""ComponentResources: validated settings in, Kubernetes objects out; one folder a part."""
