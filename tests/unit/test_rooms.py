"""Rooms and names: one word, one meaning, and every package says what does not belong there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("gatherer", "hunter")
TOP_LEVEL = {"__init__", "__main__", "clock", "config", "errors", "text", "timeouts"}


def sources(program: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / program).rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_bytes())


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_name_stands_for_two_modules_or_two_classes(program: str) -> None:
    modules: dict[str, list[Path]] = defaultdict(list)
    classes: dict[str, list[Path]] = defaultdict(list)
    for path, tree in sources(program):
        if not path.stem.startswith("__"):
            modules[path.stem].append(path)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(path)
    for found in (modules, classes):
        assert not {name: paths for name, paths in found.items() if len(paths) > 1}


def test_every_package_says_what_does_not_belong_there() -> None:
    for program in PROGRAMS:
        for path, tree in sources(program):
            said = ast.get_docstring(tree) or ""
            if path.name == "__init__.py":
                assert re.search(r"\b[Nn](ot|othing|or)\b", said), path


def test_few_modules_are_in_no_room() -> None:
    assert {path.stem for path in (ROOT / "gatherer").glob("*.py")} == TOP_LEVEL
