"""The programs that are sent into the container."""

from __future__ import annotations

import ast
from urllib.parse import quote

import pytest

from gatherer.probe.program import python_program, shell_script


@pytest.mark.parametrize("text", [shell_script(), python_program()])
def test_it_fits_into_a_request_line(text: str) -> None:
    assert len(quote(text)) < 6000  # some proxies take 8 KiB at most


def test_python_can_read_it() -> None:
    ast.parse(python_program(), feature_version=(3, 8))


def test_it_writes_nothing() -> None:
    script = shell_script()
    assert "mktemp" not in script
    assert ">" not in script.replace("2>/dev/null", "").replace(">/dev/null 2>&1", "").replace(
        ">=", ""
    ).replace("2>&1", "")
    assert "-B" in script  # importing ctypes must not leave .pyc files
