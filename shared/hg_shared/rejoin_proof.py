"""Proofs by which hunter and a gatherer that comes back know each other. Pure.

Both know the secret, which gatherer gave over hunter's first stdin; it never travels again. Each
side proves it with HMAC-SHA-256 (RFC 2104) over its role, the session and the random numbers of
both, so that neither a copy of an earlier handshake nor the other side's proof is one.
"""

from __future__ import annotations

from typing import Callable

# hashlib loads OpenSSL, 1.7 MB of hunter's memory for one digest.
sha256: Callable[[bytes], object]
try:
    from _sha2 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    except ImportError:
        from hashlib import sha256  # type: ignore[assignment,unused-ignore]

_BLOCK = 64
NONCE_BYTES = 16
SECRET_BYTES = 32


def hunter_proof(secret: bytes, session: str, hello: str, challenge: str) -> str:
    """Returns what `RejoinChallenge.proof` must be.

    Args:
        secret: of the session.
        session: its name.
        hello: nonce of the `RejoinHello`.
        challenge: nonce of the `RejoinChallenge`.
    """
    return _hmac(secret, "hunter", session, hello, challenge)


def gatherer_proof(secret: bytes, session: str, hello: str, challenge: str, seq: int) -> str:
    """Returns what `RejoinResponse.proof` must be.

    Args:
        secret: of the session.
        session: its name.
        hello: nonce of the `RejoinHello`.
        challenge: nonce of the `RejoinChallenge`.
        seq: of the `RejoinResponse`.
    """
    return _hmac(secret, "gatherer", session, hello, challenge, str(seq))


def same(one: str, other: str) -> bool:
    """Returns whether two proofs are equal, in a time that does not tell where they differ."""
    a, b = one.encode("utf-8", "replace"), other.encode("utf-8", "replace")
    difference = len(a) ^ len(b)
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0


def _hmac(secret: bytes, *parts: str) -> str:
    key = _digest(secret) if len(secret) > _BLOCK else secret
    key = key.ljust(_BLOCK, b"\0")
    # With their lengths, so that other parts do not make the same text.
    text = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "replace")
    inner = _digest(bytes(byte ^ 0x36 for byte in key) + text)
    return _digest(bytes(byte ^ 0x5C for byte in key) + inner).hex()


def _digest(data: bytes) -> bytes:
    digest: bytes = sha256(data).digest()  # type: ignore[attr-defined,unused-ignore]
    return digest
