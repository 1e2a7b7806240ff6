"""The parts of the stand-in that only compute."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta

import pytest

from tests.cluster.standin import oci, spdy, table
from tests.cluster.standin.pods import qos_class
from tests.cluster.standin.quantities import parse_quantity
from tests.cluster.standin.request_attributes import attributes
from tests.cluster.standin.selectors import field_selector, label_selector

POD = {
    "metadata": {"name": "one", "namespace": "default", "labels": {"app": "web", "tier": "front"}},
    "spec": {"nodeName": "node1"},
    "status": {"phase": "Running"},
}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier!=back", True),
        ("app", True),
        ("!app", False),
        ("app in (db, web),tier", True),
        ("app notin (db,web)", False),
        ("absent notin (db)", True),
    ],
)
def test_label_selectors(selector: str, selected: bool) -> None:
    assert label_selector(selector)(POD) is selected


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("metadata.name=one", True),
        ("metadata.name!=one", False),
        ("spec.nodeName=node1,status.phase==Running", True),
    ],
)
def test_field_selectors(selector: str, selected: bool) -> None:
    assert field_selector(selector)(POD) is selected


@pytest.mark.parametrize(
    ("select", "text"), [(label_selector, "a in (b"), (field_selector, "spec.nope=1")]
)
def test_selectors_that_are_none_are_refused(select: object, text: str) -> None:
    assert callable(select)
    with pytest.raises(ValueError, match=r"unable to parse|not supported"):
        select(text)


@pytest.mark.parametrize(
    ("text", "value"), [("256Mi", 256 << 20), ("1.5Gi", 3 << 29), ("2k", 2000), ("64", 64)]
)
def test_quantities(text: str, value: int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["256Mb", "Mi", "-1", ""])
def test_quantities_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (5, "5s"),
        (119, "119s"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600 + 60, "3h1m"),
        (50 * 3600, "2d"),
    ],
)
def test_ages_are_shown_as_kubectl_does(seconds: int, shown: str) -> None:
    # Half a second more, so that the time the test takes changes nothing.
    then = datetime.now(UTC) - timedelta(seconds=seconds + 0.5)
    assert table.age(then.isoformat()) == shown


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/version", {}, "get  //"),
        ("GET", "/api/v1/pods", {"watch": "true"}, "watch  pods//"),
        ("GET", "/api/v1/namespaces/default", {}, "get default namespaces//default"),
        ("GET", "/api/v1/namespaces/ns/pods", {}, "list ns pods//"),
        ("POST", "/api/v1/namespaces/ns/pods/p/exec", {}, "create ns pods/exec/p"),
        ("GET", "/api/v1/namespaces/ns/pods/p:80/proxy/x/y", {}, "get ns pods/proxy/p:80"),
        ("DELETE", "/api/v1/namespaces/ns/pods", {}, "deletecollection ns pods//"),
    ],
)
def test_requests_are_read_as_the_api_server_does(
    method: str, path: str, query: dict[str, str], expected: str
) -> None:
    wanted = attributes(method, path, query)
    assert (
        f"{wanted.verb} {wanted.namespace} {wanted.resource}/{wanted.subresource}/{wanted.name}"
        == expected
    )


def test_qos_class() -> None:
    def spec(**resources: dict[str, str]) -> dict[str, object]:
        return {"containers": [{"resources": resources}]}

    full = {"cpu": "1", "memory": "1Gi"}
    assert qos_class(spec()) == "BestEffort"
    assert qos_class(spec(limits={"memory": "1Gi"}, requests={"memory": "1Gi"})) == "Burstable"
    assert qos_class(spec(limits=full, requests=full)) == "Guaranteed"


def test_capabilities_are_dropped_then_added() -> None:
    assert oci.capability_set({"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}) == (
        "CAP_SYS_PTRACE",
    )
    assert set(oci.capability_set({})) == set(oci.DEFAULT_CAPABILITIES)
    assert len(oci.capability_set({"privileged": True})) == 41


def test_the_dictionary_of_spdy_is_the_one_of_its_specification() -> None:
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_spdy_frames_are_found_at_every_cut() -> None:
    client = zlib.compressobj(zdict=spdy.DICTIONARY)
    headers = (1).to_bytes(4, "big") + b"".join(
        len(word).to_bytes(4, "big") + word for word in (b"streamtype", b"stdin")
    )
    block = client.compress(headers) + client.flush(zlib.Z_SYNC_FLUSH)
    opened = (5).to_bytes(4, "big") + bytes(6) + block
    stream = (
        b"\x80\x03\x00\x01" + len(opened).to_bytes(4, "big") + opened
        + b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x07"
        + spdy.Connection.data(5, b"abc")
        + spdy.Connection.data(5, b"", last=True)
    )  # fmt: skip
    expected = [
        spdy.StreamOpened(5, {"streamtype": "stdin"}),
        spdy.Ping(7),
        spdy.StreamData(5, b"abc", False),
        spdy.StreamData(5, b"", True),
    ]
    for cut in range(len(stream) + 1):
        connection = spdy.Connection()
        events = [*connection.receive(stream[:cut]), *connection.receive(stream[cut:])]
        assert events == expected


def test_what_is_not_spdy_3_is_refused() -> None:
    with pytest.raises(spdy.SpdyError, match="version 2"):
        list(spdy.Connection().receive(b"\x80\x02\x00\x01\x00\x00\x00\x00"))
