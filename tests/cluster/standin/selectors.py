"""Label and field selectors of lists and watches. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Selector = Callable[[Object], bool]

_SET = re.compile(r"\s*([^\s,=!()]+)\s+(in|notin)\s+\(([^)]*)\)\s*")
_FIELDS: dict[str, Callable[[Object], str]] = {
    "metadata.name": lambda value: str(value["metadata"]["name"]),
    "metadata.namespace": lambda value: str(value["metadata"].get("namespace", "")),
    "spec.nodeName": lambda value: str(value.get("spec", {}).get("nodeName", "")),
    "status.phase": lambda value: str(value.get("status", {}).get("phase", "")),
}


def label_selector(text: str) -> Selector:
    """Returns the predicate of a label selector: ``a=b``, ``a!=b``, ``a``, ``!a``, ``a in (b)``.

    Raises:
        ValueError: it is none.
    """
    tests = [_label_test(part) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda value: all(test(value["metadata"].get("labels", {})) for test in tests)


def _label_test(part: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.fullmatch(part):
        key, wanted = match[1], {item.strip() for item in match[3].split(",")}
        if match[2] == "in":
            return lambda labels: labels.get(key) in wanted
        return lambda labels: labels.get(key) not in wanted
    part = part.strip()
    if "!=" in part:
        key, text = part.split("!=", 1)
        return lambda labels: labels.get(key) != text
    if "=" in part:
        key, text = re.split("==?", part, maxsplit=1)
        return lambda labels: labels.get(key) == text
    if re.search(r"[\s()]", part):
        raise ValueError(f"unable to parse requirement: {part}")
    if part.startswith("!"):
        return lambda labels: part[1:] not in labels
    return lambda labels: part in labels


def field_selector(text: str) -> Selector:
    """Returns the predicate of a field selector: ``field=value`` or ``field!=value``.

    Raises:
        ValueError: it is none, or the field is not one to select by.
    """
    tests: list[Selector] = []
    for part in text.split(","):
        if not part:
            continue
        match = re.fullmatch(r"([^=!]+)(!=|==?)(.*)", part)
        if match is None:
            raise ValueError(f"invalid selector: '{part}'; can't understand '{part}'")
        field, operator, wanted = match.groups()
        if field not in _FIELDS:
            raise ValueError(f"field label not supported: {field}")
        tests.append(_field_test(_FIELDS[field], operator == "!=", wanted))
    return lambda value: all(test(value) for test in tests)


def _field_test(read: Callable[[Object], str], negated: bool, wanted: str) -> Selector:
    return lambda value: (read(value) == wanted) != negated
