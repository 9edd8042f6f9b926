"""What messages are made of: rejected input, repeated safely, and the name that was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from .secret_text import secret_in_plain_text


def escaped(text: str) -> str:
    """Write line breaks and other characters that cannot be shown as in Python: a message is one line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def cut(text: str, longest: int) -> str:
    """Return at most `longest` characters of a text, with an ellipsis where some are left out."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def quoted(text: str) -> str:
    """Repeat rejected input in a message, unless it may hold a password or key."""
    suspicious = len(text) > 80 or "@" in text or "://" in text or secret_in_plain_text("", text)
    return "the given text" if suspicious else f"`{escaped(text)}`"


def sentence(what: str, remedy: str) -> str:
    """Put a mistake and its fix into one line: a question follows a comma, anything else a colon."""
    separator = ", " if remedy.endswith("?") else ": "
    return f"{what}{separator}{remedy}" if remedy else what


def closest(word: object, known: Iterable[str]) -> str | None:
    """Return the known name nearest to `word`; None where none is near."""
    matches = get_close_matches(str(word), sorted(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def suggestion(word: object, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return "did you mean `...`?" for the known name nearest to `word`.

    Where none is near: `otherwise`, by default the list of what is known.
    """
    names = sorted(known)
    if meant := closest(word, names):
        return f"did you mean `{meant}`?"
    return otherwise or f"known are {', '.join(names) or 'none'}"


def nearest(word: object, known: Iterable[str], otherwise: str | None = None) -> str:
    """Return `suggestion` as the end of a sentence, with its punctuation."""
    return sentence("", suggestion(word, known, otherwise))
