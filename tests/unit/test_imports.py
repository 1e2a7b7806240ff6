"""Imports that no contract of layers says: pure modules, libraries with one place, guests."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

IO = {"asyncio", "ctypes", "mmap", "os", "select", "signal", "socket", "subprocess", "threading"}
PURE = (
    "gatherer/agents/kinds",
    "gatherer/agents/series",
    "gatherer/kube/exec/channels",
    "gatherer/kube/exec/forward_channels",
    "gatherer/kube/objects",
    "gatherer/kube/watch/watch_events",
    "gatherer/preflight/checks",
    "gatherer/redaction",
    "gatherer/rendering/strace",
    "gatherer/stream",
    "gatherer/target",
    "shared/hg_shared",
)
"""Rooms and modules that are pure whether or not their docstrings say so."""
SHELLS = (
    "gatherer/stream/client.py",
    "shared/hg_shared/inherited_signals.py",
    "shared/hg_shared/mark.py",
)
"""What does I/O there all the same."""

ONLY_IN = {
    "aiofiles": "gatherer/storage",
    "aiohttp": "gatherer/kube",
    "click": "gatherer/commands",
    "h11": "gatherer/agents/scrape/http",
    "prometheus_client": "gatherer/agents/scrape/exposition",
    "ptrace": "hunter/engines/ptrace/kernel",
    "python_socks": "gatherer/kube/socks",
    "rich": "gatherer/view",
    "websockets": "gatherer/kube/exec",
    "yaml": "gatherer/kube/auth",
}
"""The one place of each library."""


@cache
def modules() -> list[tuple[str, ast.Module]]:
    return [
        (path.relative_to(ROOT).as_posix(), ast.parse(path.read_bytes()))
        for package in ("hunter", "gatherer", "shared/hg_shared")
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def imported(tree: ast.Module) -> set[str]:
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_pure_modules_do_no_io() -> None:
    pure = 0
    for path, tree in modules():
        if "Pure." in (ast.get_docstring(tree) or "") or path.startswith(PURE):
            pure += 1
            assert not imported(tree) & IO or path in SHELLS, path
    assert pure > 100


def test_a_library_is_imported_in_one_place() -> None:
    for path, tree in modules():
        for library in imported(tree) & set(ONLY_IN):
            assert path.startswith(ONLY_IN[library]), (path, library)


def test_guests_import_nothing_that_a_bare_python_lacks() -> None:
    # Until 3.12 _sha2 was of another name.
    bare = {*sys.stdlib_module_names, "_sha2", "ptrace"} - {"asyncio"}
    for path, tree in modules():
        if path.startswith("gatherer/guest"):
            assert imported(tree) <= bare, path
        elif path.startswith("hunter"):
            assert imported(tree) <= bare | {"hunter", "hg_shared"}, path
        elif path.startswith("shared"):
            assert imported(tree) <= bare | {"hg_shared"}, path
