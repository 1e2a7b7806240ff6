"""Literals as strace prints them: strings, addresses, numbers, devices.

Everything here returns printable ASCII, whatever the tracee's bytes are.
"""

from __future__ import annotations

import re

_LETTERS = {9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_PLAIN = re.compile(rb"[ !#-\[\]-~]*\Z")
_SHORT = [
    chr(byte) if _PLAIN.match(bytes((byte,))) else "\\" + (_LETTERS.get(byte) or f"{byte:o}")
    for byte in range(256)
]
_plain = _PLAIN.match
_before_digit = re.compile(rb"[^ -~\t-\r](?=[0-7])").finditer


def escape(data: bytes) -> str:
    """Returns bytes with everything but printable ASCII escaped, octal in its shortest form.

    Args:
        data: any bytes.
    """
    if _plain(data):
        return data.decode("ascii")
    parts = [_SHORT[byte] for byte in data]
    for match in _before_digit(data):
        # An escape that an octal digit follows must have all three digits of its own.
        at = match.start()
        parts[at] = f"\\{data[at]:03o}"
    return "".join(parts)


def quote(data: bytes) -> str:
    """Returns bytes in double quotes, escaped."""
    return f'"{escape(data)}"'


def quote_hex(data: bytes) -> str:
    r"""Returns bytes in double quotes, each as `\xNN`."""
    return '"' + "".join([f"\\x{byte:02x}" for byte in data]) + '"'


def address(value: int) -> str:
    """Returns a pointer: `NULL` or hexadecimal."""
    return hex(value) if value else "NULL"


def hexadecimal(value: int) -> str:
    """Returns a number as printf's `%#lx` does: zero without a prefix."""
    return hex(value) if value else "0"


def signed32(value: int) -> int:
    """Returns the low 32 bits as a signed number."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value > 0x7FFFFFFF else value


def signed64(value: int) -> int:
    """Returns 64 bits as a signed number."""
    return value - 0x10000000000000000 if value > 0x7FFFFFFFFFFFFFFF else value


def device(value: int) -> str:
    """Returns a device number as `makedev(major, minor)`; the encoding is that of dev_t."""
    major = (value >> 8 & 0xFFF) | (value >> 32 & 0xFFFFF000)
    minor = (value & 0xFF) | (value >> 12 & 0xFFFFFF00)
    return f"makedev({hexadecimal(major)}, {hexadecimal(minor)})"
