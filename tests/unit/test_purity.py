"""A module whose docstring says "Pure." imports nothing that does I/O."""

from __future__ import annotations

import ast
from pathlib import Path

IO = {"asyncio", "ctypes", "mmap", "os", "select", "signal", "socket", "subprocess", "threading"}
ROOT = Path(__file__).parents[2]


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
    for package in ("hunter", "gatherer", "shared/hg_shared"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_bytes())
            if "Pure." in (ast.get_docstring(tree) or ""):
                pure += 1
                assert not imported(tree) & IO, path
    assert pure > 20
