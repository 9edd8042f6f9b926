"""`python -m agentstack`."""

from .cli import main

main()
