"""Reads what the probe printed. Pure.

Everything in it may be the target's own invention: what does not fit is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gatherer.probe.facts import ContainerFacts, Memory, Process, WritableDir
from gatherer.probe.interpreters import parse_interpreters
from hg_shared.cpu_quota import parse_max, parse_quota
from hg_shared.rights import capability_names, parse_rights

_UNLIMITED = 1 << 60  # cgroup v1 shows the largest page-aligned number instead of nothing
_MAX_COMMAND = 64
_IDENTITY_MAP = ["0", "0", "4294967295"]


def sections(output: bytes) -> dict[str, list[str]] | None:
    """Returns the lines of each section; None when the output is none of the probe's.

    Args:
        output: of the probe, possibly with something printed before it.
    """
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        if line == "@begin":
            found, current = {}, None
        if re.fullmatch(r"@[a-z]{1,12}[12]?", line):
            current = found.setdefault(line[1:], [])
        elif current is not None:
            current.append(line)
    return found if "begin" in found and "self" in found else None


def glance(output: bytes) -> tuple[Memory | None, str] | None:
    """Returns a container's memory and the path of a Python, empty for none.

    Args:
        output: of the glance; None comes of an output that is something else's.
    """
    told = sections(output)
    if told is None:
        return None
    path = _line(told, "located")
    return _memory(told), path if path.startswith("/") and path.isprintable() else ""


def interior(output: bytes, asked: str, shell: str) -> ContainerFacts | None:
    """Returns what the probe saw; None when the output is none of the probe's.

    Args:
        output: of the probe.
        asked: the program that ran it.
        shell: the container's shell, empty when it has none.
    """
    told = sections(output)
    if told is None:
        return None
    status = _fields(told["self"])
    try:
        rights = parse_rights(status, _line(told, "yama"))
    except ValueError:
        return None
    noexec = _mounts(told.get("mounts", ()))
    python = told.get("python", [])
    return ContainerFacts(
        asked=asked,
        shell=shell,
        rights=rights,
        bounding=tuple(capability_names(status.get("CapBnd", ""))),
        user_namespace=_line(told, "users").split() not in ([], _IDENTITY_MAP),
        release=_line(told, "release"),
        machine=_line(told, "machine"),
        memory=_memory(told),
        cpus=_cpus(told),
        places=_places(told.get("places", ()), noexec),
        processes=_processes(told, _number(_line(told, "me")) or 0),
        cut="more" in told,
        interpreters=tuple(parse_interpreters("\n".join(python).encode("utf-8", "replace"))),
        calls=_calls(python),
        killed=_killed(python),
    )


def _fields(lines: Iterable[str]) -> dict[str, str]:
    return {
        name: value.strip() for name, separator, value in (x.partition(":") for x in lines)
        if separator
    }  # fmt: skip


def _line(told: Mapping[str, list[str]], name: str) -> str:
    return next((line.strip() for line in told.get(name, ()) if line.strip()), "")


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text, re.ASCII) else None


def _memory(told: Mapping[str, list[str]]) -> Memory | None:
    for version, name in ((2, "inactive_file"), (1, "total_inactive_file")):
        limit = _line(told, f"limit{version}")
        if not limit:
            continue
        figures = dict(
            line.split(None, 1) for line in told.get(f"stat{version}", ()) if len(line.split()) == 2
        )
        own = _number(limit) or _UNLIMITED
        # Version 1 tells the lowest limit of all groups above, which are not visible.
        above = _number(figures.get("hierarchical_memory_limit", "").strip()) or _UNLIMITED
        lowest = min(own, above)
        return Memory(
            version=version,
            limit=None if lowest >= _UNLIMITED else lowest,
            usage=_number(_line(told, f"usage{version}")),
            inactive_file=_number(figures.get(name, "").strip()) or 0,
            parent=lowest < own,
        )
    return None


def _cpus(told: Mapping[str, list[str]]) -> float | None:
    cpus = parse_max(_line(told, "cpu2"))
    return cpus if cpus is not None else parse_quota(_line(told, "quota1"), _line(told, "period1"))


def _mounts(lines: Iterable[str]) -> dict[str, tuple[bool, bool, bool]]:
    """Returns by mount point whether it is read-only, noexec, a tmpfs; the last one counts."""
    found = {}
    for line in lines:
        fields = line.split()
        if len(fields) < 6:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        _, _, filesystem = line.partition(" - ")
        # A mount is read-only by its own options or by those of its file system, which come last.
        options = {*fields[5].split(","), *(filesystem.split() or [""])[-1].split(",")}
        found[point] = ("ro" in options, "noexec" in options, filesystem.startswith("tmpfs "))
    return found


def _places(
    paths: Iterable[str], mounts: Mapping[str, tuple[bool, bool, bool]]
) -> tuple[WritableDir, ...]:
    """A shell's test may not know of read-only mounts: where root asks, some look at bits only."""
    places = []
    for path in dict.fromkeys(paths):
        if not path.startswith("/"):
            continue
        readonly, noexec, tmpfs = mounts.get(_mount_point(path, mounts), (False, False, False))
        if not readonly:
            places.append(WritableDir(path, not noexec, tmpfs))
    return tuple(places)


def _mount_point(path: str, mounts: Mapping[str, object]) -> str:
    while path not in mounts and path != "/":
        path = path.rpartition("/")[0] or "/"
    return path


def _processes(told: Mapping[str, list[str]], me: int) -> tuple[Process, ...]:
    """Returns the processes of the target: no kernel threads, none of the probe's own."""
    opens, own_pids = _pids(told, "opens"), _pids(told, "own")
    statuses: list[dict[str, str]] = []
    for line in told.get("processes", ()):
        name, separator, value = line.partition(":")
        if name == "Name":
            statuses.append({})
        if separator and statuses:
            statuses[-1][name] = value.strip()
    parents = {_number(s.get("Pid", "")): _number(s.get("PPid", "")) for s in statuses}
    found = []
    for status in statuses:
        pid = _number(status.get("Pid", ""))
        resident = status.get("VmRSS", "").split()
        if pid is None or not resident or _descends(pid, me, parents):
            continue
        kib = _number(resident[0]) or 0
        name = status.get("Name", "")[:_MAX_COMMAND]
        own = not own_pids or pid in own_pids
        found.append(Process(pid, name, kib << 10, status, pid in opens, own))
    return tuple(sorted(found, key=lambda each: (not each.own, -each.rss_bytes, each.pid)))


def _pids(told: Mapping[str, list[str]], name: str) -> set[int]:
    return {pid for line in told.get(name, ()) if (pid := _number(line)) is not None}


def _descends(pid: int, ancestor: int, parents: Mapping[int | None, int | None]) -> bool:
    seen: set[int] = set()
    current: int | None = pid
    while current and current not in seen:
        if current == ancestor:
            return True
        seen.add(current)
        current = parents.get(current)
    return False


def _calls(lines: Iterable[str]) -> dict[str, int]:
    matches = (re.fullmatch(r"call ([a-z_]{1,32}) (\d{1,5})", line) for line in lines)
    return {match[1]: int(match[2]) for match in matches if match}


def _killed(lines: Iterable[str]) -> tuple[str, int] | None:
    for line in lines:
        match = re.fullmatch(r"killed (\d{3}) (\S{1,256})", line)
        if match and int(match[1]) > 128:
            return match[2], int(match[1]) - 128
    return None
