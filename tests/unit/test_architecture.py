"""docs/architecture.md names files and functions that there are, and every room."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()


def test_the_way_of_a_record_is_that_of_the_code() -> None:
    steps = re.findall(r"^\d+\. `.*", TEXT, re.M)
    assert 8 <= len(steps) <= 12
    for step in steps:
        for path, function in re.findall(r"`(\w+/[\w/]+\.py)`(?: `(\w+)`)?", step):
            tree = ast.parse((ROOT / path).read_bytes())
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            there = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
            assert not function or function in there, (path, function)


def test_every_room_is_in_the_table() -> None:
    rows = "\n".join(re.findall(r"^\|.*", TEXT, re.M))
    for program in ("gatherer", "hunter"):
        for path in (ROOT / program).rglob("__init__.py"):
            room = path.parent.relative_to(ROOT / program).as_posix()
            if room != "." and "/" not in room:
                assert f"`{room}/`" in rows, room
