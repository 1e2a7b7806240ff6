"""Text from the target, made harmless for terminals, paths and lines."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
# NAME_MAX is 255 bytes; the pid, a counter and the suffix follow.
MAX_COMMAND = 64
_MAX_LINE = 600  # characters
MAX_DEPTH = 16
_SIBILANTS = ("s", "x", "ch", "sh")


def printable(text: str, limit: int = 0) -> str:
    r"""Returns the text with everything a terminal could act on escaped.

    Control characters, line breaks, bidirectional overrides, lone surrogates and unassigned code
    points become `\xNN`, `\uNNNN` or `\UNNNNNNNN`; the result is one line.

    Args:
        text: anything.
        limit: longest result in characters, 0 for no limit; a longer one ends in `...`.
    """
    if limit and len(text) > limit:
        # Escapes only lengthen, so that what lies behind the limit cannot be needed.
        text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    if limit and len(text) > limit:
        return text[: max(0, limit - 3)] + "..."
    return text


def one_line(text: str) -> str:
    """Returns a message of a server as one printable line of bounded length, its end kept.

    The beginning may be lost: containerd repeats itself.

    Args:
        text: anything.
    """
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= _MAX_LINE else "… " + line[-_MAX_LINE:]


def safe_command(command: str) -> str:
    """Returns a process name as it may stand in a file name.

    Args:
        command: /proc/PID/comm, or whatever a hostile peer says it is.
    """
    name = _UNSAFE_IN_NAME.sub("_", command) or "_"
    if name[0] in "-.":
        # Neither an option of what reads it, nor hidden, nor above its directory.
        name = f"_{name}"
    return name[:MAX_COMMAND]


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns a count and its noun, such as `1 process` or `2 processes`.

    Args:
        count: how many.
        noun: in the singular.
        plural: where it is not made by `s`, or by `es` after a sibilant.
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count} {plural or noun + ('es' if noun.endswith(_SIBILANTS) else 's')}"


def how_often(count: int) -> str:
    """Returns how often something happened: `once`, `2 times`."""
    return "once" if count == 1 else f"{count} times"


def number(value: int | None) -> str:
    """Returns a number as text, `unknown` for None."""
    return "unknown" if value is None else str(value)


def duration(seconds: float) -> str:
    """Returns a duration as options take it, such as `90s`, `5m` or `1h30m`; whole seconds."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "m"), (left, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def fitted(line: str, width: int) -> list[str]:
    """Returns a line as lines of a terminal, what follows the first indented.

    Args:
        line: any line; a word that is too long, such as a path, stays whole.
        width: columns, 0 for any number.
    """
    if not width or len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def byte_count(count: int | None) -> str:
    """Returns a byte count for people, such as `26.8 MiB`; `-` for None."""
    if count is None:
        return "-"
    value = float(min(max(count, 0), 1 << 70))
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quoted(text: str) -> str:
    """Returns a user's value for an error line: quoted, printable, at most 40 characters."""
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return f"'{printable[:37]}...'" if len(printable) > 40 else f"'{printable}'"


def json_line(value: Mapping[str, Any]) -> str:
    """Returns an object as one line of ASCII, without its line break.

    Args:
        value: anything json.loads can give, and tuples.
    """
    return json.dumps(plain_json(value), separators=(",", ":"), allow_nan=False)


def plain_json(value: Any, depth: int = 0) -> Any:
    """Returns the value as JSON can say it: no NaN, no infinity, no depth that a reader refuses.

    Args:
        value: anything json.loads can give, and tuples.
        depth: of the value in its document.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        if depth == MAX_DEPTH:
            return None
        return {str(key): plain_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return None if depth == MAX_DEPTH else [plain_json(item, depth + 1) for item in value]
    return value
