"""`python -m agentstack`."""

from agentstack.commands.cli import main

main()
