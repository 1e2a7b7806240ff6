"""The nearest of the names there are, for one that is mistyped."""

from __future__ import annotations

from typing import Dict, Iterable


def did_you_mean(word: str, names: Iterable[str], prefix: str = "") -> str:
    """Returns ` (did you mean X?)`, or an empty string when nothing is near.

    Args:
        word: as it was typed; the case does not matter.
        names: what it could have been.
        prefix: stands before word and names, and does not make them alike.
    """
    # Imported here: only mistakes need it.
    from difflib import get_close_matches

    by_case: Dict[str, str] = {}
    for name in names:
        by_case.setdefault(name.lower(), name)
    found = get_close_matches(word[:100].lower(), by_case, 1, 0.7)
    return f" (did you mean {prefix}{by_case[found[0]]}?)" if found else ""
