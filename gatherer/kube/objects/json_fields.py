"""Fields of decoded JSON: what is missing or of a wrong type is read as empty. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_mapping(value: object) -> Mapping[str, Any]:
    """Returns a value that is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_mappings(value: object) -> list[Mapping[str, Any]]:
    """Returns the objects in a list, none for what is no list."""
    if not isinstance(value, list):
        return []
    return [entry for entry in value if isinstance(entry, Mapping)]


def as_strings(value: object) -> dict[str, str]:
    """Returns the members of an object that are strings."""
    return {str(key): text for key, text in as_mapping(value).items() if isinstance(text, str)}


def string_at(mapping: Mapping[str, Any], key: str) -> str:
    """Returns a member that is a string, else an empty one."""
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def integer_at(mapping: Mapping[str, Any], key: str) -> int | None:
    """Returns a member that is an integer, else None; true and false are none."""
    value = mapping.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
