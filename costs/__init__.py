"""What the objects of a stack cost in a month, by a price list, and what of it a budget counts."""
