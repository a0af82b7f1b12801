"""What other libraries say of a broken file, made fit for one sentence."""

from __future__ import annotations

_LONGEST = 200


def brief(error: Exception) -> str:
    """Return what an error says on one line of at most 200 characters, with its kind unless it is a ValueError."""
    said = " ".join(str(error).split())
    shown = said if len(said) <= _LONGEST else f"{said[:_LONGEST]} …"
    return shown if type(error) is ValueError and said else f"{type(error).__name__}: {shown}"
