from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import DeployError
from gatherer.probe.interpreters import choose_interpreter, parse_interpreters


def test_the_first_python_that_is_new_enough_is_chosen() -> None:
    found = parse_interpreters(
        b"2.7.18 ctypes /usr/bin/python\n3.6.9 ctypes /opt/old/python3\nnoise\n"
        b"3.8.0 - /opt/small/python3\n3.9.1 ctypes /opt/a b/python3\n3.13.0 ctypes /x\n"
    )
    assert choose_interpreter(found, "c").path == "/opt/a b/python3"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"3.6.9 ctypes /usr/bin/python3\n", "is too old: /usr/bin/python3 3.6.9; hunter needs"),
        (b"2.7.5 ctypes /usr/bin/python\n", "is too old: /usr/bin/python 2.7.5"),
        (b"3.11.2 - /usr/bin/python3\n", "has no ctypes module: /usr/bin/python3 3.11.2"),
    ],
)
def test_a_python_that_does_not_do_is_named(output: bytes, words: str) -> None:
    with pytest.raises(DeployError) as caught:
        choose_interpreter(parse_interpreters(output), "c")
    assert words in str(caught.value)


@given(st.binary(max_size=80))
def test_any_output_of_the_probe_can_be_read(output: bytes) -> None:
    for interpreter in parse_interpreters(output):
        assert interpreter.path
