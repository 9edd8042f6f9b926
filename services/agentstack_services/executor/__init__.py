"""Does the steps of tasks: calls models, agents, URLs and functions, each command once."""
