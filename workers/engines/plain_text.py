"""What strangers wrote, without the characters that steer what shows it."""

from __future__ import annotations

import re
import unicodedata

# Controls, characters without a look (some carry hidden orders, some turn the direction of a line), halves of pairs,
# and characters that everybody may define. Unassigned ones stay: emoji are newer than any Python.
_REMOVED = frozenset({"Cc", "Cf", "Cs", "Co"})
# Joiners are among them, but scripts and emoji need them.
_JOINERS = "\u200c\u200d"


def clean(text: str | None, max_chars: int | None = None) -> str:
    """One line of at most `max_chars`, without control, invisible and direction-changing characters."""
    return _visible(re.sub(r"\s+", " ", text or "")).strip()[:max_chars].rstrip()


def clean_lines(text: str | None, max_chars: int | None = None) -> str:
    """As `clean`, but line breaks stay, at most two in a row."""
    lines = (_visible(re.sub(r"[^\S\n]+", " ", line)).strip() for line in (text or "").splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:max_chars].rstrip()


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if char in _JOINERS or unicodedata.category(char) not in _REMOVED)
