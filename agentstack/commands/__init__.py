"""The command line: a module a command, thin functions over the rooms; `cli` imports a module when it is called."""
