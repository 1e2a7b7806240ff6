"""Events as sentences, in the order of their times; text of the target is escaped in them."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from typing import Any

from gatherer.text import byte_count, counted, printable
from gatherer.view.folding import Folding
from gatherer.view.sentences import hidden_processes

SETTLE_SECONDS = 0.25
"""How long an event waits for another one that happened before it and comes after it."""
MAX_WAITING = 1000
VERBOSE = frozenset(("placement",))
"""Events that are shown with -v only, as are those nobody asked for; events.jsonl has all."""
_MAX_SENTENCE = 400


class EventLines:
    """Shows events in the order of their times, and few of many alike (`Folding`).

    They come from hunter, from agents and from what is rendered, each at its own pace. One that
    comes too late for its place says its own time.

    Args:
        say: shows a line.
        verbose: whether all of them are shown.
    """

    def __init__(self, say: Callable[[str], None], verbose: bool = False) -> None:
        self._folding: dict[str, Folding] = {}
        self._say = say
        self._verbose = verbose
        self._waiting: list[tuple[str, int, float, str]] = []
        self._count = 0
        self._shown = ""

    def add(
        self, time: str, event: str, pid: int | None, fields: Mapping[str, Any], about: str = ""
    ) -> None:
        """Takes an event.

        Args:
            time: RFC 3339, UTC.
            event: its name.
            pid: the process concerned.
            fields: its own fields, unchecked.
            about: what stands in front of the sentence.
        """
        if not self._verbose and not self._worth(event, fields, about):
            return
        self._count += 1
        line = about + event_line(event, pid, fields)
        self._waiting.append((time, self._count, clock.monotonic(), line))
        if len(self._waiting) > MAX_WAITING:
            self.flush()

    def write_due(self) -> None:
        """Shows what has waited long enough, and how many were left out."""
        before = clock.monotonic() - SETTLE_SECONDS
        ready = max((each[0] for each in self._waiting if each[2] <= before), default="")
        self._show([each for each in self._waiting if each[0] <= ready])
        self._waiting = [each for each in self._waiting if each[0] > ready]
        self._tell()

    def flush(self) -> None:
        """Shows everything."""
        waiting, self._waiting = self._waiting, []
        self._show(waiting)

    def close(self) -> None:
        """Shows everything, and how many were left out."""
        self.flush()
        self._tell(last=True)

    def _worth(self, event: str, fields: Mapping[str, Any], about: str) -> bool:
        if event in VERBOSE or fields.get("asked") is False:
            return False
        now = clock.monotonic()
        return self._folding.setdefault(about, Folding(now)).worth(event, now)

    def _tell(self, last: bool = False) -> None:
        now = clock.monotonic()
        for about, folding in self._folding.items():
            if sentence := folding.sentence(now, last):
                self.flush()
                self._say(about + sentence)

    def _show(self, events: list[tuple[str, int, float, str]]) -> None:
        for time, _, _, line in sorted(events):
            if time < self._shown:
                line = f"{line} (at {time[11:23]})"
            self._shown = max(self._shown, time)
            self._say(f"{self._shown[11:23]} {line}")


def event_line(event: str, pid: int | None, fields: Mapping[str, Any]) -> str:
    """Returns an event as a sentence.

    Args:
        event: its name.
        pid: the process concerned.
        fields: the event's own fields, unchecked.
    """
    make = _SENTENCES.get(event, _plain)
    text = make("?" if pid is None else str(pid), fields)
    if make is _plain:
        text = f"{event}{'' if pid is None else f' of {pid}'}{': ' if text else ''}{text}"
    return printable(text, _MAX_SENTENCE)


def _scan(pid: str, fields: Mapping[str, Any]) -> str:
    """Says what was decided, with numerator, denominator and source."""
    text = f"{fields.get('command', '?')} {pid} uses {_size(fields.get('rss_bytes'))}"
    if fields.get("reason") == "pid" and not fields.get("excluded"):
        return f"{text}: chosen by --pid"
    size, source = fields.get("of_bytes"), str(fields.get("source", "?"))
    if fields.get("percent") is not None and size:
        file = source.rpartition("/")[2] or source
        text += f", {fields['percent']}% of {_size(size)} ({file})"
    if fields.get("growth_bytes_per_second") is not None:
        text += f", grows {_size(fields['growth_bytes_per_second'])}/s"
    if fields.get("excluded"):
        return f"{text}: not traced, {fields['excluded']}"
    return f"{text}: chosen by {fields.get('reason', '?')}"


def _smaps(pid: str, fields: Mapping[str, Any]) -> str:
    """Names the largest mappings; all of them are in events.jsonl."""
    found = fields.get("mappings")
    largest = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    # Of a process that is too large for a walk of its page tables the sizes alone are known.
    sized = any(type(item.get("rss_bytes")) is int for item in largest)
    key, what = ("rss_bytes", "memory") if sized else ("size_bytes", "addresses")
    named = (
        f"{item.get('name') or 'anonymous'} {byte_count(item[key])}"
        for item in largest[:3]
        if type(item.get(key)) is int
    )
    return f"most {what} of {pid}: {', '.join(named)}"


def _attach(pid: str, fields: Mapping[str, Any]) -> str:
    if fields.get("parent") is not None:
        text = f"{pid}, a child of {fields['parent']}, is traced"
    else:
        threads = fields.get("threads")
        several = type(threads) is int and threads > 1
        text = f"{pid} is traced" + (f", {threads} threads" if several else "")
    if fields.get("engine"):
        text += f", with {fields['engine']}: {fields.get('reason', '?')}"
    return text


def _attach_failed(pid: str, fields: Mapping[str, Any]) -> str:
    cause = fields.get("cause", "?")
    if fields.get("denied") is True:
        return f"NOT TRACED: {pid}, only its memory is sampled: {cause}"
    if pid != "?":
        return f"{pid} cannot be traced: {cause}"
    parent = fields.get("parent")
    return f"{parent}: {cause}" if parent is not None else str(cause)


def _silent(_pid: str, fields: Mapping[str, Any]) -> str:
    seconds = fields.get("seconds", "?")
    return f"hunter has said nothing for {seconds} s; what it traces with ptrace may stand still"


def _heard(_pid: str, fields: Mapping[str, Any]) -> str:
    return f"hunter is heard again, after {fields.get('seconds', '?')} s"


def _stuck(_pid: str, fields: Mapping[str, Any]) -> str:
    then = f"; {fields['then']}" if fields.get("then") else ""
    return f"hunter was stuck: {fields.get('cause', '?')}{then}"


def _watchdog(_pid: str, fields: Mapping[str, Any]) -> str:
    return f"hunter's watchdog had gone (process {fields.get('replaced', '?')}); there is another"


def _little_cpu(_pid: str, fields: Mapping[str, Any]) -> str:
    cpus = fields.get("cpus", "?")
    return f"hunter may use {cpus} CPUs only: what it traces with ptrace is slowed down to that"


def _exec(pid: str, fields: Mapping[str, Any]) -> str:
    return f"{pid} runs {fields.get('command', '?')} now"


def _exit(pid: str, fields: Mapping[str, Any]) -> str:
    if isinstance(fields.get("signal"), str):
        oom = ", out of memory" if fields.get("oom") is True else ""
        return f"{pid} was killed by {fields['signal']}{oom}"
    if type(fields.get("code")) is int:
        return f"{pid} exited with code {fields['code']}"
    return f"{pid} has ended"


def _detach(pid: str, fields: Mapping[str, Any]) -> str:
    cause = fields.get("cause")
    return f"{pid} is not traced any more" + (f": {cause}" if cause else "")


def _oom(_pid: str, fields: Mapping[str, Any]) -> str:
    group = f", in cgroup {fields['cgroup']}" if fields.get("cgroup") else ""
    return f"out of memory: the kernel killed {_number(fields.get('kills'), 'process')}{group}"


def _lost(pid: str, fields: Mapping[str, Any]) -> str:
    of = "" if pid == "?" else f" of {pid}"
    return f"{_number(fields.get('records'), 'record')}{of} lost: {fields.get('cause', '?')}"


def _dropped(pid: str, fields: Mapping[str, Any]) -> str:
    limit = _size(fields.get("limit_bytes"))
    if fields.get("lines") is not None:
        lines = _number(fields["lines"], "line")
        return f"{lines} of {pid} dropped: its log has reached its limit, {limit}"
    return f"the log of {pid} has reached its limit, {limit}: later lines are dropped"


def _reconnect(_pid: str, fields: Mapping[str, Any]) -> str:
    text = f"hunter is back after {_seconds(fields.get('seconds'))}"
    if type(fields.get("attempts")) is int and fields["attempts"] > 1:
        text += f", {fields['attempts']} attempts"
    if fields.get("missing_frames"):
        text += f", {_number(fields['missing_frames'], 'frame')} missing"
    return text


def _agent_gap(_pid: str, fields: Mapping[str, Any]) -> str:
    agent = f"agent {fields.get('agent', '?')}"
    if fields.get("ended_after_s") is not None:
        return f"{agent} answers again, after {_seconds(fields['ended_after_s'])}"
    remedy = f"; {fields['remedy']}" if fields.get("remedy") else ""
    return f"{agent}: {fields.get('cause', '?')}{remedy}"


def _target_ended(_pid: str, fields: Mapping[str, Any]) -> str:
    reason = fields.get("reason")
    named = reason and reason != "target ended"
    text = "the target has ended" + (f": {reason}" if named else "")
    if fields.get("exit_code") is not None:
        text += f", exit code {fields['exit_code']}"
    return text


def _clock_step(_pid: str, fields: Mapping[str, Any]) -> str:
    whose = "this machine" if fields.get("whose") == "gatherer" else "the node"
    return f"the clock of {whose} was set, by {_seconds(fields.get('seconds'))}"


def _paused(_pid: str, fields: Mapping[str, Any]) -> str:
    return f"gatherer did not run for {_seconds(fields.get('seconds'))}"


def _error(_pid: str, fields: Mapping[str, Any]) -> str:
    return f"hunter says: {fields.get('message', '?')}"


def _no_rejoin(_pid: str, fields: Mapping[str, Any]) -> str:
    return f"a connection that breaks cannot be joined again: {fields.get('cause', '?')}"


def _hidden(_pid: str, fields: Mapping[str, Any]) -> str:
    return f"NOT SEEN: {hidden_processes(fields)}"


def _plain(_pid: str, fields: Mapping[str, Any]) -> str:
    """Returns keys and values, of an event that has no sentence here."""
    return ", ".join(
        f"{key.removesuffix('_bytes').replace('_', ' ')}"
        f" {_size(value) if key.endswith('_bytes') else value}"
        for key, value in fields.items()
        if value is not None
    )


_SENTENCES: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "scan": _scan,
    "smaps": _smaps,
    "attach": _attach,
    "attach_failed": _attach_failed,
    "exec": _exec,
    "exit": _exit,
    "detach": _detach,
    "oom": _oom,
    "lost": _lost,
    "dropped": _dropped,
    "reconnect": _reconnect,
    "agent_gap": _agent_gap,
    "target_ended": _target_ended,
    "clock_step": _clock_step,
    "gatherer_paused": _paused,
    "error": _error,
    "no_rejoin": _no_rejoin,
    "hidden": _hidden,
    "silent": _silent,
    "heard": _heard,
    "stuck": _stuck,
    "watchdog": _watchdog,
    "little_cpu": _little_cpu,
}


def _size(value: Any) -> str:
    return byte_count(value) if type(value) is int else str(value)


def _number(value: Any, noun: str) -> str:
    return counted(value, noun) if type(value) is int else f"? {noun}"


def _seconds(value: Any) -> str:
    return f"{value:.3g} s" if isinstance(value, (int, float)) else f"{value} s"
