"""What helps people to write files: the schemas that editors read, and the list of rules."""
