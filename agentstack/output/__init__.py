"""What people read: documents for a terminal or a pull request, and how a command ends."""
