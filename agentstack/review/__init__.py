"""A change as a whole: verdicts, the document, and diff.json."""
