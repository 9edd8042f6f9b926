"""The command line, and what only it needs: everything that works without engine, cluster or account."""
