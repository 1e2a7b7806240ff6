"""The JSON object that each message travels as; its fields have the types that the class promises.

Unknown keys are ignored, so that fields can be added in one version.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from typing import Any, Dict, Mapping, Type, TypeVar, Union, get_type_hints

from hg_shared.errors import BadPayload, UnsupportedVersion
from hg_shared.messages import PROTOCOL_VERSION, Hello, Message

M = TypeVar("M")
# Clocks and counters have 64 bits. What is far beyond breaks conversions: to float, to text.
HUGE = 1 << 100
_HINTS: Dict[type, Dict[str, Any]] = {}


def encode_message(message: Message) -> bytes:
    """Returns the message as one JSON object in UTF-8; lone surrogates are escaped."""
    return json.dumps(asdict(message), separators=(",", ":")).encode("ascii")


def decode_message(cls: Type[M], payload: bytes) -> M:
    """Reads one message.

    Args:
        cls: the message's class.
        payload: its JSON object.

    Raises:
        BadPayload: not a JSON object, a field is missing, or one has another type.
        UnsupportedVersion: a Hello of another protocol version.
    """
    name = cls.__name__
    try:
        value = json.loads(payload, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadPayload(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadPayload(f"{name} is not a JSON object")
    if cls is Hello and value.get("protocol") != PROTOCOL_VERSION:
        raise UnsupportedVersion(
            f"hunter speaks protocol {value.get('protocol')!r:.60}, gatherer {PROTOCOL_VERSION}"
        )
    return cls(**_checked(cls, value))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _checked(cls: Type[Any], value: Mapping[str, Any]) -> Dict[str, Any]:
    hints = _HINTS.get(cls)
    if hints is None:
        hints = _HINTS[cls] = get_type_hints(cls)
    arguments = {}
    for entry in fields(cls):
        if entry.name not in value:
            if entry.default is not MISSING or entry.default_factory is not MISSING:
                continue
            raise BadPayload(f"{cls.__name__} has no {entry.name}")
        given = value[entry.name]
        if not _fits(given, hints[entry.name]):
            raise BadPayload(f"{cls.__name__}.{entry.name} has the wrong type: {given!r:.60}")
        arguments[entry.name] = given
    return arguments


def _fits(value: Any, hint: Any) -> bool:
    origin = getattr(hint, "__origin__", None)
    if hint is Any:
        return True
    if origin is Union:
        return any(_fits(value, option) for option in hint.__args__)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, hint.__args__[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(item, hint.__args__[1]) for item in value.values()
        )
    if hint is float and isinstance(value, float):
        return True
    if hint is float or hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and -HUGE < value < HUGE
    return isinstance(value, hint)
