"""One agent: from its declaration to all objects that it needs to run."""
