"""Expositions: nothing of them is lost, what is none is told, hostile ones end in one error."""

from __future__ import annotations

import contextlib
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gatherer.agents.container_filter import ContainerFilter
from gatherer.agents.scrape import exposition
from gatherer.agents.scrape.exposition import Reading, read_exposition
from gatherer.errors import ScrapeError

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
MINE = ContainerFilter("shop", "web-0", "app")
COROOT = b"""\
# HELP container_oom_kills_total Total number of times the container was terminated
# TYPE container_oom_kills_total counter
container_oom_kills_total{container_id="/k8s/shop/web-0/app"} 3
container_oom_kills_total{container_id="/k8s/shop/web-1/app"} 0
# TYPE container_resources_memory_rss_bytes gauge
container_resources_memory_rss_bytes{container_id="/k8s/shop/web-0/app",app_id=""} 1.048576e+06
# TYPE node_uptime_seconds gauge
node_uptime_seconds{machine_id="a"} 12.5
# TYPE rpc_seconds histogram
rpc_seconds_bucket{le="0.1"} 1
rpc_seconds_bucket{le="+Inf"} 2
rpc_seconds_sum 0.3
rpc_seconds_count 2
odd_value NaN
"""


def kept(reading: Reading) -> dict[str, float]:
    return {sample.name: sample.value for sample in reading.kept[0]}


def test_the_containers_samples_and_the_nodes_are_kept() -> None:
    reading = read_exposition(COROOT, TEXT, [MINE])
    values = kept(reading)
    assert values.pop("odd_value") != values.get("odd_value")
    assert values == {
        "container_oom_kills_total": 3,
        "container_resources_memory_rss_bytes": 1048576,
        "node_uptime_seconds": 12.5,
        "rpc_seconds_bucket": 2,
        "rpc_seconds_sum": 0.3,
        "rpc_seconds_count": 2,
    }
    assert (reading.families, reading.samples, reading.others) == (5, 9, 1)
    types = {sample.name: sample.type for sample in reading.kept[0]}
    assert types["container_oom_kills_total"] == "counter"
    assert types["rpc_seconds_sum"] == "histogram"
    assert types["odd_value"] == "unknown"
    growing = {sample.name for sample in reading.kept[0] if sample.cumulative}
    assert growing == {
        "container_oom_kills_total", "rpc_seconds_bucket", "rpc_seconds_sum", "rpc_seconds_count",
    }  # fmt: skip


def test_counts_are_those_of_prometheus_client() -> None:
    families = list(text_string_to_metric_families(COROOT.decode()))
    reading = read_exposition(COROOT, TEXT, [ContainerFilter()])
    assert reading.families == len(families)
    assert reading.samples == sum(len(family.samples) for family in families)
    assert len(reading.kept[0]) == reading.samples


def test_open_metrics() -> None:
    body = b"# TYPE requests counter\nrequests_total 5\nrequests_created 1.5\n# EOF\n"
    reading = read_exposition(body, OPEN_METRICS, [MINE])
    assert kept(reading) == {"requests_total": 5, "requests_created": 1.5}
    assert [sample.cumulative for sample in reading.kept[0]] == [True, False]


def test_every_capture_keeps_its_own() -> None:
    other = ContainerFilter("shop", "web-1", "app")
    reading = read_exposition(COROOT, TEXT, [MINE, other])
    ids = [
        {sample.labels.get("container_id") for sample in samples} - {None}
        for samples in reading.kept
    ]
    assert ids == [{"/k8s/shop/web-0/app"}, {"/k8s/shop/web-1/app"}]


def test_the_last_of_two_samples_of_a_series_counts() -> None:
    reading = read_exposition(b"x 1\nx 2\n", TEXT, [MINE])
    assert kept(reading) == {"x": 2}
    assert reading.duplicates == 1


def test_what_is_too_much_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MAX_KEPT", 3)
    body = b"".join(b'x{n="%d"} 1\n' % number for number in range(10))
    reading = read_exposition(body, TEXT, [MINE])
    assert (len(reading.kept[0]), reading.left_out) == (3, (7,))


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"<html><title>Log in</title></html>", "text/html", "text/html, '<html>"),
        (b"{}", "application/json", "application/json"),
        (b"<html>\x1b[31m</html>", "text/plain", "no exposition: text/plain, '<html>"),
        (b"<html>\x1b[31m</html>\n", "text/plain", "cannot be parsed"),
        (b"\x1f\x8b\x08\x00\x00", "", "binary"),
        (b"caf\xe9 1\n", TEXT, "not UTF-8"),
        (b"x 1\n", OPEN_METRICS, "cannot be parsed"),
        (b"x{ 1\n", TEXT, "cannot be parsed"),
        (COROOT[:-5], TEXT, "cut short"),
        (b'x{a="b"} 1.04', TEXT, "cut short"),
        (b"x 1", OPEN_METRICS, "cut short"),
    ],
)
def test_what_is_no_exposition(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(ScrapeError) as caught:
        read_exposition(body, content_type, [MINE])
    assert words in caught.value.cause
    assert caught.value.remedy
    assert str(caught.value).isprintable()


def test_nothing_is_an_exposition_of_nothing() -> None:
    assert read_exposition(b"", TEXT, [MINE]).samples == 0
    assert read_exposition(b"# nothing yet\n", TEXT, [MINE]).samples == 0


def test_it_survives_the_way_between_processes() -> None:
    reading = read_exposition(COROOT + b"y +Inf\nz -Inf\n", TEXT, [MINE, ContainerFilter()])
    again: Reading = pickle.loads(pickle.dumps(reading))
    assert repr(again) == repr(reading)  # a NaN is not itself
    values = kept(again)
    assert (values["y"], values["z"]) == (math.inf, -math.inf)


@given(st.binary(max_size=300), st.sampled_from([TEXT, OPEN_METRICS, ""]))
def test_any_bytes_are_read_or_refused(body: bytes, content_type: str) -> None:
    with contextlib.suppress(ScrapeError):
        read_exposition(body, content_type, [MINE])


VALUES = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=20)


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True), VALUES, max_size=4),
    st.floats(allow_nan=False),
)
def test_any_labels_and_values_come_back(labels: dict[str, str], value: float) -> None:
    def escape(text: str) -> str:
        return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

    inner = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
    body = f"metric{{{inner}}} {value!r}\n".encode()
    (sample,) = read_exposition(body, TEXT, [ContainerFilter()]).kept[0]
    assert (sample.labels, sample.value) == (labels, value)
