"""Messages: JSON objects whose fields have the promised types."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any, Dict, List

import pytest

from hg_shared.errors import BadPayload, UnsupportedVersion
from hg_shared.message_codec import decode_message, encode_message
from hg_shared.messages import (
    PROTOCOL_VERSION,
    Ack,
    Event,
    FdTable,
    Goodbye,
    Heartbeat,
    Hello,
    Joined,
    Message,
    Ping,
    RejoinChallenge,
    RejoinHello,
    RejoinResponse,
    Sample,
    SessionKey,
    Stop,
    TracedProcess,
)

HELLO = Hello(
    protocol=PROTOCOL_VERSION, version="1", sha256="ab", python="3.8.1", executable="/bin/python3",
    arch="x86_64", kernel="6.1.0", pid=7, uid=0, monotonic_ns=1, realtime_ns=2, boottime_ns=3,
    engine="ptrace-python", engine_reason="ptrace(2) is allowed", tracing="on", cgroup_version=2,
    memory_limit_bytes=None, memory_usage_bytes=5, memory_source="/proc/meminfo MemTotal",
    node_memory_bytes=9, yama_ptrace_scope=1, seccomp=2, no_new_privs=True,
    capabilities=["SYS_PTRACE"], page_size=4096, cpus=2,
)  # fmt: skip
MESSAGES: List[Message] = [
    HELLO,
    TracedProcess(1, 17, 4242, 10**18, "a b)(", ["/bin/x", "\udcff", ""], 5),
    Event(1, "scan", None, {"percent": 12.5, "nested": {"a": [1, None]}}),
    Event(1, "attach", 17),
    Sample(1, None, {"usage_bytes": 3, "limit_bytes": None}),
    Sample(1, 17, {"rss_bytes": 2**40}),
    FdTable(1, 1, {"0": "/dev/null", "3": "TCP:[127.0.0.1:80]"}),
    Goodbye(1, "stop", 10, 2, [{"ordinal": 1, "seen": 10, "lost": 2, "end_reason": ""}], 0.5, 9, 3),
    Heartbeat(1, 2, 3, 4, 5, 6.5, 7),
    Ack(2**63),
    Ping(1),
    Stop("duration"),
    SessionKey("00" * 16, "ff" * 32),
    RejoinHello("ab" * 16),
    RejoinChallenge("cd" * 16, "ef" * 32),
    RejoinResponse("12" * 32, 7),
    Joined(8),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_come_back(message: Message) -> None:
    payload = encode_message(message)
    payload.decode("ascii")
    assert decode_message(type(message), payload) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_unknown_keys_are_ignored(message: Message) -> None:
    value = {**asdict(message), "later": {"version": 2}}
    assert decode_message(type(message), json.dumps(value).encode()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_missing_field_is_named(message: Message) -> None:
    name = type(message).__name__
    optional = {
        "Event": {"pid", "fields"},
        "Goodbye": {"error", "dropped_messages"},
        "Hello": {"loading"},
        "TracedProcess": {"parent"},
    }.get(name, set())
    for field in fields(message):
        value = asdict(message)
        del value[field.name]
        payload = json.dumps(value).encode()
        if field.name in optional:
            decode_message(type(message), payload)
        elif field.name == "protocol":
            with pytest.raises(UnsupportedVersion):
                decode_message(Hello, payload)
        else:
            with pytest.raises(BadPayload, match=f"^{name} has no {field.name}$"):
                decode_message(type(message), payload)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_field_of_a_wrong_type_is_named(message: Message) -> None:
    name = type(message).__name__
    for field in fields(message):
        if field.name == "protocol":
            continue
        value = {**asdict(message), field.name: [[["neither"]]]}
        with pytest.raises(BadPayload, match=f"^{name}.{field.name} has the wrong type"):
            decode_message(type(message), json.dumps(value).encode())


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (Ack(1), {"seq": True}),
        (Ack(1), {"seq": 1.5}),
        (Ack(1), {"seq": "1"}),
        (Ack(1), {"seq": None}),
        (HELLO, {"no_new_privs": 1}),
        (HELLO, {"capabilities": ["A", 3]}),
        (HELLO, {"capabilities": "A"}),
        (Sample(1, 1, {}), {"values": {"rss_bytes": 1.5}}),
        (Sample(1, 1, {}), {"pid": "1"}),
        (FdTable(1, 1, {}), {"entries": {"0": None}}),
        (Heartbeat(1, 2, 3, 4, 5, 6.0, 7), {"cpu_seconds": True}),
        (Goodbye(1, "x", 0, 0, [], 0.0, 0, 0), {"processes": [["seen"]]}),
    ],
)
def test_types_are_checked_strictly(message: Message, change: Dict[str, Any]) -> None:
    value = {**asdict(message), **change}
    with pytest.raises(BadPayload, match="has the wrong type"):
        decode_message(type(message), json.dumps(value).encode())


def test_a_whole_number_of_seconds_is_a_number_of_seconds() -> None:
    payload = encode_message(Heartbeat(1, 2, 3, 4, 5, 6.0, 7)).replace(b"6.0", b"6")
    assert decode_message(Heartbeat, payload).cpu_seconds == 6


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff\xfe", b"{}x", b"[" * 100_000],
)
def test_what_is_no_json_object_is_a_bad_payload(payload: bytes) -> None:
    with pytest.raises(BadPayload, match=r"^Ping "):
        decode_message(Ping, payload)


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(constant: bytes) -> None:
    payload = encode_message(Heartbeat(1, 2, 3, 4, 5, 6.5, 7)).replace(b"6.5", constant)
    with pytest.raises(BadPayload, match="is no number of JSON"):
        decode_message(Heartbeat, payload)


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_protocol_version_is_told_before_anything_else(version: Any) -> None:
    payload = json.dumps({"protocol": version}).encode()
    with pytest.raises(UnsupportedVersion, match=f"hunter speaks protocol {version!r}, gatherer 1"):
        decode_message(Hello, payload)
    with pytest.raises(UnsupportedVersion):
        decode_message(Hello, encode_message(replace(HELLO, protocol=99)))
