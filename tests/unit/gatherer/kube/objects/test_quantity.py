from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.kube.objects.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("128974848", 128974848),
        ("129e6", 129_000_000),
        ("129M", 129_000_000),
        ("123Mi", 123 << 20),
        ("0.5Gi", 512 << 20),
        ("1.5Ti", 3 << 39),
        ("128974848000m", 128974848),
        ("1m", 1),
        ("1E3", 1000),
        ("1E", 10**18),
        ("1k", 1000),
        ("9007199254740988Ki", 9007199254740988 << 10),
        ("0", 0),
        (".5Ki", 512),
        ("5.", 5),
    ],
)
def test_quantities(text: str, expected: int) -> None:
    assert parse_quantity(text) == expected


@pytest.mark.parametrize(
    "text", ["", "Mi", "1Kb", "1 Mi", "-1", "1K", "0x10", "1e999", "1MiB", "٣"]
)
def test_what_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_not(text: str) -> None:
    value = parse_quantity(text)
    assert value is None or value >= 0
