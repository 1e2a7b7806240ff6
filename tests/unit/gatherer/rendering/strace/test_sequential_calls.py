"""The fast path from records to lines prints what the timeline prints, to the byte."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.rendering.strace.calls.call import CallRenderer
from gatherer.rendering.strace.calls.compiler import CAPTURE_MAX, TEXTS_MAX
from gatherer.rendering.strace.lines.process_lines import ProcessLines
from gatherer.rendering.strace.lines.stamps import SECOND
from hg_shared.records import Abi, Kind, Record, encode_capture
from hg_shared.syscalls import numbers
from tests.unit.gatherer.rendering.strace.packed import OrderedLines, packed
from tests.unit.gatherer.rendering.strace.test_arbitrary import SEEDS, SOAK, any_record

EPOCH = 1_790_000_000 * SECOND
NR = numbers(Abi.X86_64)
P = 0x7FFE1000
CALLS = CallRenderer()
Feed = tuple[list[Record], int]


def both(feeds: list[Feed], offset: int = EPOCH, **options: object) -> list[bytes]:
    """Feeds both paths alike; returns the output of each feed, and asserts that they are equal."""
    ordered = OrderedLines(offset, CALLS, 7, "cat", **options)  # type: ignore[arg-type]
    lines = ProcessLines(offset, CALLS, 7, "cat", **options)  # type: ignore[arg-type]
    out = []
    for records, watermark in feeds:
        out.append(ordered.feed_rows(*packed(records), watermark))
        assert lines.feed_rows(*packed(records), watermark) == out[-1]
    out.append(ordered.finish())
    assert lines.finish() == out[-1]
    assert lines.lines == b"".join(out).count(b"\n")
    return out


def call(
    start: int, duration: int = 5, name: str = "close", args: tuple[int, ...] = (3,), rval: int = 0,
    captures: bytes = b"", tid: int = 4711, kind: int = Kind.SYSCALL, abi: int = Abi.X86_64,
) -> Record:  # fmt: skip
    six = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return Record(start, duration, rval, six, tid, 1, NR[name], kind, abi, captures)  # type: ignore[arg-type]


PLAUSIBLE = [
    ("write", (3, P, 32), 32, encode_capture(1, 0, b"x" * 32, 32)),
    ("write", (3, P, 4), 4, encode_capture(1, 0, b"\x00\x011\xff", 4)),
    ("write", (3, P, 900), -32, encode_capture(1, 0, b"y" * 32, 900)),
    ("write", (3, 0, 5), -14, b""),
    ("openat", (2**64 - 100, P, 0x80000), 4, encode_capture(1, 0, b"/etc/passwd", 11)),
    ("openat", (7, P, 0o101, 0o644), -2, encode_capture(1, 0, b"/\n", 2)),
    ("openat", (7, P, 0), -14, encode_capture(1, 0, None, 0)),
    ("read", (4, P, 16), 16, encode_capture(1, 0, b"0123456789abcdef", 16)),
    ("read", (4, P, 16), -11, b""),
    ("read", (2**32 - 1, P, 16), -9, b""),
    ("read", (4, P, 16), -512, b""),
    ("close", (4,), 0, b""),
    ("close", (2**64 - 1,), -9, b""),
    ("futex", (P, 0x81, 1), 1, b""),
    ("futex", (P, 0x80, 2, P), -110, encode_capture(3, 0, bytes(range(16)), 16)),
    ("futex", (P, 0x80, 2, 0), 0, b""),
    ("futex", (P, 0x7F, 2), -38, b""),
    ("clock_gettime", (1, P), 0, encode_capture(1, 0, bytes(16), 16)),
    ("newfstatat", (2**64 - 100, P, P, 0), 0,
     encode_capture(1, 0, b"/x", 2) + encode_capture(2, 0, bytes(range(144)), 144)),
    ("fstat", (3, P), 0, encode_capture(1, 0, bytes(7), 7)),
    ("mmap", (0, 4096, 3, 0x22, 2**64 - 1, 0), 0x7F0012345000, b""),
    ("mmap", (0, 0, 3, 0x22, 2**64 - 1, 0), -22, b""),
    ("brk", (0,), 0x55D000001000, b""),
    ("brk", (0,), -5000, b""),
    ("umask", (0o22,), 0o22, b""),
    ("fcntl", (3, 3), 0o2002, b""),
    ("fcntl", (3, 5, P), 0, encode_capture(2, 0, bytes(32), 32)),
    ("fcntl", (3, 77, P), -22, b""),
    ("lseek", (3, 2**64 - 5, 1), 2**62, b""),
    ("getpid", (), 4711, b""),
    ("poll", (P, 1, 2**64 - 1), 1,
     encode_capture(0, 0, b"\x03\0\0\0\x01\0\x01\0", 8)),
    ("writev", (1, P, 1), 2, encode_capture(1, 0, bytes(16), 16) + encode_capture(1, 1, b"ab", 2)),
    ("clone", (0x11, 0), 99, b""),
    ("wait4", (2**64 - 1, P, 0, 0), 9, encode_capture(1, 0, b"\0\3\0\0", 4)),
    ("getsockname", (3, P, P), 0, encode_capture(2, 0, b"\x80\0\0\0", 4, True)
     + encode_capture(2, 0, b"\x10\0\0\0", 4) + encode_capture(1, 0, b"\2\0\0\x50\x7f\0\0\1", 16)),
    ("nanosleep", (P, P), -516, encode_capture(0, 0, bytes(16), 16)
     + encode_capture(1, 0, bytes(range(16)), 16)),
    ("rt_sigprocmask", (0, P, 0, 8), 0, encode_capture(1, 0, b"\xff" * 8, 8)),
    ("exit_group", (0,), 0, b""),
]  # fmt: skip


@st.composite
def streams(draw: st.DrawFn) -> list[Feed]:
    """Plausible calls of some threads, mostly one after the other, cut into batches."""
    random = Random(draw(st.integers(0, 2**32)))
    overlap = draw(st.sampled_from([0, 0, 0.02, 0.3]))
    threads = draw(st.sampled_from([1, 1, 2, 5]))
    others = draw(st.sampled_from([0, 0, 0.03]))
    only_notes = draw(st.booleans())
    scale = draw(st.sampled_from([1, 1000, 10**6, 3 * 10**8]))
    time, feeds = 3600 * SECOND, []  # steps back never reach zero
    for _ in range(draw(st.integers(1, 12))):
        batch = []
        for _ in range(random.randrange(30)):
            name, args, rval, captures = random.choice(PLAUSIBLE)
            duration = random.randrange(4) * scale
            tid = 4711 + random.randrange(threads)
            kind = Kind.SYSCALL
            if random.random() < others:
                notes = [Kind.LOST, Kind.SIGNAL, Kind.WINDOW]
                kind = random.choice(notes if only_notes else [*Kind, 77])  # type: ignore[list-item]
            abi = Abi.I386 if random.random() < others / 4 else Abi.X86_64
            batch.append(call(time, duration, name, args, rval, captures, tid, kind, abi))
            step = duration + random.randrange(3) * scale
            time += -step if random.random() < overlap else step
        feeds.append((batch, time - random.choice([0, 0, scale, 10 * scale, 2 * SECOND])))
    if draw(st.booleans()):
        feeds = out_of_step(feeds, random)
    feeds.append(([], time + SECOND))
    return feeds


def out_of_step(feeds: list[Feed], random: Random) -> list[Feed]:
    """Returns batches as the rings of two CPUs give them: some come before older ones.

    What their watermarks promise is true all the same.
    """
    batches = [records for records, _ in feeds]
    for place in range(len(batches) - 1):
        if random.random() < 0.4:
            batches[place], batches[place + 1] = batches[place + 1], batches[place]
    watermarks: list[int] = []
    for place in range(len(batches)):
        later = [r.start for records in batches[place + 1 :] for r in records]
        final = min(later, default=feeds[-1][1]) - 1
        stays = bool(watermarks) and random.random() < 0.5
        watermarks.append(watermarks[-1] if stays else max(0, final, *watermarks))
    return list(zip(batches, watermarks, strict=True))


@given(streams())
def test_plausible_streams(feeds: list[Feed]) -> None:
    both(feeds)


@given(SEEDS)
def test_arbitrary_streams(seed: int) -> None:
    random = Random(seed)
    stream = [any_record(random, [0, 0, 0, 0, 1, 2, 9]) for _ in range(random.randrange(13))]
    if random.random() < 0.5:
        stream = sorted(record._replace(duration=record.duration % 1000) for record in stream)
    cuts = sorted(random.randrange(2**41) for _ in range(random.randrange(1, 6)))
    size = -(-len(stream) // len(cuts))
    feeds = [(stream[n * size : n * size + size], cut) for n, cut in enumerate(cuts)]
    both(feeds, random.choice([0, EPOCH, -(2**40), 2**63]))


@given(SEEDS)
def test_records_of_a_few_moments(seed: int) -> None:
    random = Random(seed)
    time, threads = SECOND, random.choice([1, 1, 2, 3])
    feeds: list[Feed] = []
    for _ in range(random.randrange(1, 6)):
        batch = []
        for serial in range(random.randrange(8)):
            duration = random.choice([0, 0, 1, 3])
            kind = random.choice([Kind.SYSCALL] * 9 + [Kind.IN_FLIGHT, Kind.SIGNAL, Kind.LOST])
            tid = 5 + random.randrange(threads)
            batch.append(call(time, duration, args=(len(feeds), serial), tid=tid, kind=kind))
            time += random.choice([0, 0, 0, duration, duration, duration + 1, 5, -1])
        if random.random() < 0.3:
            random.shuffle(batch)
        feeds.append((batch, time))
    for place in range(len(feeds)):
        later = [record.start for records, _ in feeds[place + 1 :] for record in records]
        final = min([feeds[place][1], *later]) - random.choice([0, 0, 1, 3, 10])
        feeds[place] = feeds[place][0], max([0, final, *(mark for _, mark in feeds[:place])])
    both(feeds)


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64, Abi.I386, Abi.X32, 255])
def test_calls_of_every_abi(abi: int) -> None:
    random = Random(abi)
    stream = [
        any_record(random, [0])._replace(start=SECOND + nr * 10, duration=7, nr=nr, tid=9, abi=abi)
        for nr in range(0, 480, 1 if SOAK else 9)
    ]
    notes = 1 if abi in (Abi.I386, Abi.X32) else 0
    assert both([(stream, 2 * SECOND)])[0].count(b"\n") == len(stream) + notes


def test_what_is_not_final_waits_in_rows_and_comes_in_order() -> None:
    first = [call(n * 10) for n in range(100)]
    second = [call(1000 + n * 10) for n in range(100)]
    out = both([(first, 502), (second, 502), ([], 994), ([], 995), ([], 5000)])
    assert [part.count(b"\n") for part in out] == [50, 0, 49, 1, 100, 0]


def test_lines_are_taken_back_when_something_older_follows() -> None:
    late = call(486, 100, tid=5)
    out = both([([*(call(n * 10) for n in range(50)), late, call(700)], 1000)])
    assert b"".join(out).count(b"unfinished") == 1
    whole, batches = both([([call(0), call(10), call(20, 200)], 15), ([call(60, tid=5)], 300)])[:2]
    assert whole.count(b"\n") == 2
    assert batches.count(b"resumed") == 1


def test_threads_that_hand_over_at_one_moment() -> None:
    for tids in ((5, 5), (5, 6), (6, 5)):
        both([([call(10, 10, tid=tids[0]), call(20, 10, tid=tids[1])], 100)])
        edge = 3 * SECOND - EPOCH % SECOND
        pair = [call(edge - 10, 10, tid=tids[0]), call(edge, 10, tid=tids[1])]
        both([(pair, 4 * SECOND)])


def test_a_call_in_flight_ends_among_others() -> None:
    pause = call(100, 0, "pause", (), kind=Kind.IN_FLIGHT, tid=2)
    steps = [call(n * 10**6) for n in range(1, 400)]
    ended = call(100, 10**9, "pause", (), -4, tid=2)
    feeds = [([pause], 150), (steps[:200], 200 * 10**6), (steps[200:], 400 * 10**6)]
    out = b"".join(both([*feeds, ([ended, call(11 * 10**8)], 2 * 10**9)]))
    assert out.count(b"pause( <unfinished ...>") == out.count(b"<... pause resumed>") == 1


def test_it_goes_back_to_the_fast_path() -> None:
    lines = ProcessLines(EPOCH)
    lines.feed_rows(*packed([call(10, 0, "pause", (), kind=Kind.IN_FLIGHT)]), 5)
    assert lines._fast
    lines.feed_rows(*packed([call(20, 5, tid=5)]), 200)
    assert lines._fast
    lines.feed_rows(*packed([call(300, 500), call(400, 5, tid=5), call(500, 400, tid=6)]), 450)
    assert not lines._fast
    lines.feed_rows(*packed([call(1000)]), 2000)
    lines.feed_rows(*packed([call(2001)]), 3000)
    assert lines._fast


@pytest.mark.parametrize("lead", [0, 1, 3, 50, 100_000])
def test_notes_that_come_ahead_of_their_time_wait_for_it(lead: int) -> None:
    """A reader that falls behind notes a loss now, while older calls are still on their way."""
    feeds: list[Feed] = []
    for number in range(60):
        begin = 5000 + number * 1000
        steps = [call(begin + n * 10, 4) for n in range(100)]
        lost = call(begin + lead, 0, args=(7,), kind=Kind.LOST, tid=0)
        feeds.append(([lost, *steps] if number % 3 else steps, begin - 2000))
    feeds.append(([], 200_000))
    assert b"".join(both(feeds)).count(b"LOST 7 records") == 40


def test_notes_and_calls_of_one_moment_keep_their_order() -> None:
    same = [call(100, 0), call(100, 0, args=(7,), kind=Kind.LOST)]
    for first, second in (same, same[::-1]):
        both([([first, second], 200)])
        both([([first], 50), ([second], 60), ([], 200)])
        both([([first], 50), ([call(300, kind=Kind.DETACHED)], 60), ([second], 60), ([], 400)])


def test_a_call_that_begins_where_the_call_before_was_announced_is_another() -> None:
    """Both take no time, so the moment alone does not tell them apart."""
    first = call(100, 0, kind=Kind.IN_FLIGHT)
    second = call(100, 1, args=(4,), kind=Kind.IN_FLIGHT)
    for watermarks in ((99, 100, 100), (99, 99, 100), (100, 100, 100)):
        feeds = [([first, call(100, 0)], watermarks[0]), ([second], watermarks[1])]
        out = both([*feeds, ([call(101, 0)], watermarks[2])])
        assert b"close(4 <unfinished ...>" in b"".join(out)


def test_styles_of_time_and_long_thread_ids() -> None:
    for style in ("none", "time", "unix", "relative"):
        for tid in (1, 99999, 4194303, 2**32 - 1):
            steps = [call(n * 3 * 10**8, 10**7, tid=tid) for n in range(20)]
            both([(steps, 10**10)], timestamps=style)


def test_texts_that_are_remembered_are_bounded() -> None:
    calls = CallRenderer(4096)
    for count, size in ((3 * TEXTS_MAX, 8), (10, CAPTURE_MAX + 1)):
        lines = ProcessLines(EPOCH, calls)
        steps = [
            call(n * 10, 5, "write", (1, P, size), size, encode_capture(1, 0, data, size))
            for n in range(count)
            for data in [n.to_bytes(4, "little").rjust(size, b"-")]
        ]
        assert lines.feed_rows(*packed(steps), 10**9).count(b"\n") == count
    row = calls.forms[Abi.X86_64][NR["write"]].row
    texts = row.__globals__["f1"]
    assert 0 < len(texts) <= TEXTS_MAX
    assert max(map(len, texts)) <= CAPTURE_MAX
