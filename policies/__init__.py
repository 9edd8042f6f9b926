"""Policies: `rules` are pure and importable; `__main__` serves them to the engine as a CrossGuard pack."""
