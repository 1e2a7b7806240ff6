from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.exec_credential import API_VERSIONS, parse_credential
from gatherer.kube.auth.selection import ExecPlugin

PLUGIN = ExecPlugin("login", API_VERSIONS[0])


def output(**status: Any) -> bytes:
    document = {"kind": "ExecCredential", "apiVersion": API_VERSIONS[0], "status": status}
    return json.dumps(document).encode()


def test_a_token_that_expires() -> None:
    credential = parse_credential(
        output(token="t", expirationTimestamp="2026-11-21T08:37:49Z"), PLUGIN
    )
    assert credential.token == "t"
    assert credential.expires == datetime(2026, 11, 21, 8, 37, 49, tzinfo=timezone.utc)  # noqa: UP017


def test_an_expiry_in_another_time_zone() -> None:
    credential = parse_credential(
        output(token="t", expirationTimestamp="2026-11-21T08:37:49.5+01:00"), PLUGIN
    )
    assert credential.expires is not None
    assert credential.expires.utcoffset() == timedelta(hours=1)


def test_a_client_certificate() -> None:
    credential = parse_credential(output(clientCertificateData="C", clientKeyData="K"), PLUGIN)
    assert (credential.certificate, credential.key, credential.token) == (b"C", b"K", "")
    assert credential.expires is None


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (b"", "no ExecCredential"),
        (b"Please log in", "no ExecCredential"),
        (b"[]", "no ExecCredential"),
        (b'{"kind": "Pod"}', "no ExecCredential"),
        (b'{"kind": "ExecCredential", "apiVersion": "v0"}', "apiVersion 'v0', not"),
        (output().replace(b'"status": {}', b'"status": null'), "without a status"),
        (output(), "neither a token nor a client certificate"),
        (output(token=7), "a token that is no string"),
        (output(token="a\nX-Evil: 1"), "control characters"),
        (output(clientCertificateData="C"), "without its key"),
        (output(token="t", expirationTimestamp="soon"), "no RFC 3339 time"),
    ],
)
def test_what_is_no_credential_is_named(printed: bytes, words: str) -> None:
    with pytest.raises(ClusterUnreachable) as caught:
        parse_credential(printed, PLUGIN)
    assert words in str(caught.value)
    assert "'login'" in str(caught.value)


@given(st.binary(max_size=60))
def test_any_output_is_a_credential_or_an_error(printed: bytes) -> None:
    with pytest.raises(ClusterUnreachable):
        parse_credential(printed, PLUGIN)
