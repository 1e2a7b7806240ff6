"""docs/architecture.md names files and functions that there are, and every room."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()


def test_every_file_and_function_that_is_named_is_there() -> None:
    named = re.findall(r"`(\w+/[\w/]+\.(?:bpf\.c|py))`(?: `(\w+)`)?", TEXT)
    assert len(named) > 20
    for path, function in named:
        code = (ROOT / path).read_text()
        assert not function or re.search(rf"^ *(async )?def {function}\(", code, re.M), (
            path,
            function,
        )


def test_every_room_is_in_the_table() -> None:
    rows = "\n".join(re.findall(r"^\|.*", TEXT, re.M))
    for program in ("gatherer", "hunter"):
        for path in (ROOT / program).rglob("__init__.py"):
            room = path.parent.relative_to(ROOT / program).as_posix()
            if room != "." and "/" not in room:
                assert f"`{room}/`" in rows, room
