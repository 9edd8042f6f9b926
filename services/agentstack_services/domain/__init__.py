"""What the services say to each other: events, commands and results, and the ids that tie them together."""
