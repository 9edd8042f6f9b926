"""Reading Kubernetes objects and what people write of them: YAML, fields, quantities, schedules, labels, workloads.

The ground floor of the program: settings, components, policies, costs and the command line stand on it, and it imports
none of them. Plain data in, plain data out; beside the standard library it needs PyYAML alone.
"""
