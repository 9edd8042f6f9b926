"""Orders the steps of tasks: folds what happened in a conversation, decides what comes next, and says so."""
