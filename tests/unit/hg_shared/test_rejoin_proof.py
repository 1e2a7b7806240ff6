"""Proofs are HMAC-SHA-256 over everything that must not be exchanged."""

from __future__ import annotations

import hashlib
import hmac
from itertools import product

import pytest

from hg_shared.rejoin_proof import gatherer_proof, hunter_proof, same

SECRET = bytes(range(32))


@pytest.mark.parametrize("secret", [b"", SECRET, b"k" * 64, b"long" * 40])
def test_a_proof_is_what_the_standard_library_says(secret: bytes) -> None:
    text = b"6:hunter2:aa2:bb2:cc"
    expected = hmac.new(secret, text, hashlib.sha256).hexdigest()
    assert hunter_proof(secret, "aa", "bb", "cc") == expected


def test_every_part_counts() -> None:
    proofs = {
        gatherer_proof(secret, session, hello, challenge, seq)
        for secret, session, hello, challenge, seq in product(
            (SECRET, b"other"), ("a", "ab"), ("b", "bc"), ("c", "cd"), (1, 11)
        )
    }
    proofs |= {hunter_proof(SECRET, "a", "b", "c"), hunter_proof(SECRET, "a", "b", "c1:1")}
    assert len(proofs) == 34


def test_proofs_are_compared_whole() -> None:
    assert same("abc", "abc")
    assert not same("abc", "abd")
    assert not same("abc", "abcd")
    assert not same("", "a")
    assert not same("abc", "\ud800bc")
