from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import ExecError
from gatherer.kube.exec.channels import (
    STDERR,
    STDIN,
    STDIN_MESSAGE_SIZE,
    STDOUT,
    V4,
    V5,
    ChannelClosed,
    ExecChannels,
    ExecEvent,
    ExecExited,
    ExecFailed,
    ExecInterrupted,
    StreamData,
    read_status,
)
from gatherer.kube.objects.models import Status

from ..recordings import Recording, recordings

UPGRADED = [recording for recording in recordings().values() if recording.status == 101]


def play(recording: Recording) -> list[ExecEvent]:
    channels = ExecChannels(recording.subprotocol)
    events = [channels.receive_message(message) for message in recording.messages]
    return [event for event in events if event is not None]


def test_the_recordings_hold_both_subprotocols_and_both_kinds_of_end() -> None:
    assert {recording.subprotocol for recording in UPGRADED} == {V4, V5}
    assert len(UPGRADED) == 10
    assert all(recording.close_code == 1000 for recording in UPGRADED)


@pytest.mark.parametrize("recording", UPGRADED, ids=lambda recording: recording.name)
def test_every_recorded_exec_ends_with_a_status_after_an_announcement(
    recording: Recording,
) -> None:
    channels = ExecChannels(recording.subprotocol)
    assert channels.receive_message(recording.messages[0]) is None
    assert channels.end is None
    events = [channels.receive_message(message) for message in recording.messages[1:]]
    assert all(isinstance(event, StreamData) for event in events[:-1])
    assert events[-1] is channels.end
    assert channels.receive_eof("closed") is channels.end


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ok: exec echo (v5)", [StreamData(STDOUT, b"hi\n"), ExecExited(0)]),
        ("ok: stdin close v5 (frame ff00)", [StreamData(STDOUT, b"3\n"), ExecExited(0)]),
        ("ok: v4 offered only", [StreamData(STDOUT, b"hi\n"), ExecExited(0)]),
        (
            "non-zero exit",
            [StreamData(STDERR, b"sh: 0: -c requires an argument\n"), ExecExited(2)],
        ),
        ("killed by signal", [ExecExited(137)]),
        ("tty+stderr", [StreamData(STDOUT, b"\r\n"), ExecExited(0)]),
        ("execer ok", [StreamData(STDOUT, b"0\n"), ExecExited(0)]),
    ],
)
def test_recorded_ends_that_have_an_exit_code(name: str, expected: list[ExecEvent]) -> None:
    assert play(recordings()[name]) == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("MISSING BINARY", 'exec: "python3": executable file not found in $PATH'),
        ("BINARY NOT EXECUTABLE", 'exec: "/app/leak.py": permission denied'),
        ("no command", "args must not be empty"),
    ],
)
def test_a_process_that_cannot_be_started_has_no_exit_code(name: str, words: str) -> None:
    (event,) = play(recordings()[name])
    assert isinstance(event, ExecFailed)
    assert words in event.status.message
    assert (event.status.reason, event.status.code) == ("InternalError", 500)


def test_a_close_without_a_status_is_an_interruption_never_exit_code_0() -> None:
    channels = ExecChannels(V5)
    channels.receive_message(b"\x01all of the output")
    assert channels.receive_eof("close code 1000") == ExecInterrupted("close code 1000")


def test_output_may_come_after_the_status() -> None:
    channels = ExecChannels(V5)
    channels.receive_message(b'\x03{"status":"Success"}')
    assert channels.receive_message(b"\x01tail") == StreamData(STDOUT, b"tail")
    assert channels.receive_eof("closed") == ExecExited(0)


def test_a_half_close_is_told_in_v5_and_refused_in_v4() -> None:
    assert ExecChannels(V5).receive_message(b"\xff\x01") == ChannelClosed(STDOUT)
    with pytest.raises(ExecError, match="ff 01"):
        ExecChannels(V4).receive_message(b"\xff\x01")


@pytest.mark.parametrize(
    "message",
    [b"", b"\x00data", b"\x04{}", b"\x05", b"\xff", b"\xff\x05", b"\xff\x00\x00"],
    ids=lambda message: message.hex() or "empty",
)
def test_messages_of_no_channel_are_refused(message: bytes) -> None:
    with pytest.raises(ExecError):
        ExecChannels(V5).receive_message(message)


@pytest.mark.parametrize(
    "payload",
    [b"not json", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000],
    ids=["text", "list", "no status", "null", "no utf-8", "deep"],
)
def test_an_unreadable_status_is_refused(payload: bytes) -> None:
    channels = ExecChannels(V5)
    with pytest.raises(ExecError, match="unreadable"):
        channels.receive_message(b"\x03" + payload)
    assert isinstance(channels.receive_eof("closed"), ExecInterrupted)


def test_a_second_status_is_refused_and_the_first_one_stands() -> None:
    channels = ExecChannels(V5)
    channels.receive_message(b'\x03{"status":"Failure","message":"gone"}')
    with pytest.raises(ExecError, match="second"):
        channels.receive_message(b'\x03{"status":"Success"}')
    assert isinstance(channels.end, ExecFailed)


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "99999999999", "٣", " 3", "0x3"])
def test_a_nonsensical_exit_code_is_a_failure_not_an_exit(text: str) -> None:
    status = {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": text}]},
    }
    assert isinstance(read_status(Status.from_json(status)), ExecFailed)


def test_a_non_zero_exit_without_causes_is_a_failure() -> None:
    assert isinstance(
        read_status(Status.from_json({"status": "Failure", "reason": "NonZeroExitCode"})),
        ExecFailed,
    )


@pytest.mark.parametrize("subprotocol", [None, "", "channel.k8s.io", "v3.channel.k8s.io"])
def test_a_subprotocol_that_was_not_offered_is_refused(subprotocol: str | None) -> None:
    with pytest.raises(ExecError, match="subprotocol"):
        ExecChannels(subprotocol)


def test_stdin_is_closed_by_a_message_in_v5_only() -> None:
    assert ExecChannels(V5).can_close_stdin
    assert ExecChannels(V5).close_stdin() == b"\xff\x00"
    assert not ExecChannels(V4).can_close_stdin
    with pytest.raises(ExecError, match="cannot close stdin"):
        ExecChannels(V4).close_stdin()


@given(st.binary(max_size=3 * STDIN_MESSAGE_SIZE))
def test_stdin_is_cut_into_messages_that_add_up(data: bytes) -> None:
    messages = list(ExecChannels(V5).send_stdin(data))
    assert all(message[0] == STDIN for message in messages)
    assert all(1 < len(message) <= STDIN_MESSAGE_SIZE + 1 for message in messages)
    assert b"".join(message[1:] for message in messages) == data


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["status", "message", "reason", "details", "causes", "code", "Success"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([V4, V5]), st.lists(st.binary(max_size=40), max_size=12))
def test_garbage_gives_events_or_an_exec_error(subprotocol: str, messages: list[bytes]) -> None:
    channels = ExecChannels(subprotocol)
    for message in messages:
        try:
            event = channels.receive_message(message)
        except ExecError:
            break
        if isinstance(event, StreamData):
            assert bytes([event.channel]) + event.data == message


@given(json_values)
def test_a_status_of_any_shape_gives_an_end_or_an_exec_error(document: object) -> None:
    channels = ExecChannels(V5)
    try:
        event = channels.receive_message(b"\x03" + json.dumps(document).encode())
    except ExecError:
        assert channels.end is None
    else:
        assert isinstance(event, (ExecExited, ExecFailed))
        if isinstance(event, ExecExited) and event.code == 0:
            assert isinstance(document, dict)
            assert document["status"] == "Success"
