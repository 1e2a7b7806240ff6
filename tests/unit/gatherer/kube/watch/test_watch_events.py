from __future__ import annotations

import json

import pytest

from gatherer.errors import ServerError
from gatherer.kube.watch import watch_events
from gatherer.kube.watch.watch_events import WatchDecoder


def line(event: str, **value: object) -> bytes:
    return json.dumps({"type": event, "object": value}).encode() + b"\n"


BODY = (
    line("ADDED", metadata={"name": "web-1", "uid": "u1", "resourceVersion": "7"})
    + line("BOOKMARK", kind="Pod", metadata={"resourceVersion": "9"})
    + line("DELETED", metadata={"name": "web-1", "uid": "u1", "resourceVersion": "11"})
    + line("ERROR", kind="Status", status="Failure", code=410, reason="Expired", message="too old")
)


def test_events_may_be_cut_anywhere() -> None:
    for cut in range(len(BODY)):
        decoder = WatchDecoder()
        events = decoder.receive_data(BODY[:cut]) + decoder.receive_data(BODY[cut:])
        assert [(event.kind, event.version) for event in events] == [
            ("ADDED", "7"),
            ("BOOKMARK", "9"),
            ("DELETED", "11"),
            ("ERROR", ""),
        ]
        assert events[0].pod is not None
        assert events[0].pod.name == "web-1"
        assert events[1].pod is None
        assert events[3].status is not None
        assert events[3].status.code == 410


@pytest.mark.parametrize(
    "data",
    [
        b"<html>\n",
        b"7\n",
        b"[]\n",
        b"{}\n",
        b'{"type": "ADDED", "object": 7}\n',
        b"[" * 9999 + b"\n",
    ],
)
def test_what_is_no_event_is_an_error_of_the_server(data: bytes) -> None:
    with pytest.raises(ServerError, match="answered a watch with a line that is no event"):
        WatchDecoder().receive_data(data + b"\n")


def test_a_line_without_end_costs_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_events, "MAX_LINE", 1000)
    decoder = WatchDecoder()
    decoder.receive_data(b"x" * 900)
    with pytest.raises(ServerError, match="a line of more than"):
        decoder.receive_data(b"x" * 200)
