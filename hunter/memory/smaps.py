"""/proc/PID/smaps and smaps_rollup (proc_pid_smaps(5)): mappings, and totals over all. Pure."""

from __future__ import annotations

import re
from typing import Dict, Iterable, Iterator, Optional, Union

_FIELDS = {
    b"Rss:": "rss_bytes",
    b"Pss:": "pss_bytes",
    b"Anonymous:": "anon_bytes",
    b"Swap:": "swap_bytes",
}

_HEADER = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)")
_MAX_NAME = 256

Mapping = Dict[str, Optional[Union[int, str]]]


def parse_mappings(lines: Iterable[bytes]) -> Iterator[Mapping]:
    """Yields the mappings: address, permissions, name, size_bytes, and the totals' fields.

    Args:
        lines: of the file; a whole one can have many megabytes.
    """
    current: Mapping = {}
    for line in lines:
        header = _HEADER.match(line)
        if header:
            if current:
                yield current
            current = {**_described(header), **dict.fromkeys(_FIELDS.values(), 0)}
            continue
        words = line.split()
        if current and len(words) == 3 and words[0] in _FIELDS and words[1].isdigit():
            current[_FIELDS[words[0]]] = int(words[1]) * 1024
    if current:
        yield current


def parse_addresses(lines: Iterable[bytes]) -> Iterator[Mapping]:
    """Yields the mappings of /proc/PID/maps, as `parse_mappings` does; the totals are None.

    Args:
        lines: of the file.
    """
    unknown: Mapping = dict.fromkeys(_FIELDS.values())
    for line in lines:
        header = _HEADER.match(line)
        if header:
            yield {**_described(header), **unknown}


def _described(header: re.Match[bytes]) -> Mapping:
    start, end = int(header[1], 16), int(header[2], 16)
    return {
        "address": f"{start:#x}",
        "permissions": header[3].decode("ascii", "replace"),
        "name": header[4].strip().decode("utf-8", "backslashreplace")[:_MAX_NAME],
        "size_bytes": end - start,
    }


def parse_rollup(text: bytes) -> Dict[str, int]:
    """Returns rss_bytes, pss_bytes, anon_bytes and swap_bytes, as far as the text has them.

    Args:
        text: the file's contents; unknown and broken lines are passed over.
    """
    totals: Dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] in _FIELDS and words[1].isdigit():
            totals[_FIELDS[words[0]]] = int(words[1]) * 1024
    return totals
