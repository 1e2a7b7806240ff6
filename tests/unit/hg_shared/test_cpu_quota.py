"""CPU limits, as the files of both cgroup versions have them."""

import pytest

from hg_shared.cpu_quota import parse_max, parse_quota


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", None),
        ("1000 100000\n", 0.01),
        ("250000 100000", 2.5),
        ("", None),
        ("1000", None),
        ("1000 0", None),
        ("a b", None),
        ("1 2 3", None),
        ("9" * 400 + " 1", None),
    ],
)
def test_version_2(text, cpus):
    assert parse_max(text) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("-1\n", "100000\n", None), ("5000\n", "100000\n", 0.05), ("", "", None), ("5", "0", None)],
)
def test_version_1(quota, period, cpus):
    assert parse_quota(quota, period) == cpus
