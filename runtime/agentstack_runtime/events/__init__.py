"""Event sourcing: a state is what its events fold to."""

from __future__ import annotations
