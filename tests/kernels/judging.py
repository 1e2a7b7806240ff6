"""What the booted machine told, held against what is right. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Told = dict[str, Any]
MIB = 1 << 20
# Records that are none of the counted calls: a thread's own end of tracing, calls in flight.
_OTHERS = 20
_TRACED = ("ptrace", "ptrace-python", "ebpf")


def problems(name: str, told: Told) -> list[str]:
    """Returns what is wrong with one scenario, empty when it is right.

    Args:
        name: of the scenario.
        told: what the guest printed of it.
    """
    if "broke" in told:
        return [f"the scenario broke: {told['broke']}"]
    if told.get("absent"):
        return []
    return _JUDGES.get(name, _nothing)(name, told)


def _nothing(_name: str, told: Told) -> list[str]:
    return [] if told.get("code", 0) == 0 else [f"exit code {told['code']}"]


def _left(told: Told) -> list[str]:
    left, found = told["left"], []
    if not left["runs"]:
        found.append(f"the target ended with {left['exit']}")
    elif left["tracers"] != ["0"]:
        found.append(f"still traced by {left['tracers']}")
    if left["masks_kept"] is False:
        found.append("a CPU mask was not restored")
    if left["hunters"]:
        found.append(f"processes of hunter are left: {left['hunters']}")
    return found


def _counted(name: str, told: Told) -> list[str]:
    """Each counted call is in the log once and in order, or accounted as lost."""
    if told.get("engine") is None:
        return [f"nothing was captured: {told['said'] or told}"]
    found = _left(told)
    records = told["records"]
    engine = name.removesuffix("-busy")
    if engine in _TRACED and told["engine"] != engine:
        found.append(f"engine {told['engine']}")
    if not told["in_order"]:
        found.append("calls are twice or out of order")
    if records["seen"] != records["received"] + records["lost"]:
        found.append(f"seen is not received + lost: {records}")
    missing = told["issued"] - told["found"]
    if not 0 <= missing <= records["lost"]:
        found.append(f"{missing} calls are missing, {records['lost']} are accounted as lost")
    if not 0 <= records["received"] + records["lost"] - told["issued"] <= _OTHERS:
        found.append(f"{told['issued']} calls were issued, but {records}")
    right = 4 if records["lost"] else 0
    if told["code"] != right:
        found.append(f"exit code {told['code']} instead of {right}")
    return found


def _denied(_name: str, told: Told) -> list[str]:
    """Yama forbids it: said with its cause; memory evidence, exit code 0."""
    found = _left(told) if told.get("left") else []
    if told["code"] != 0:
        found.append(f"exit code {told['code']}")
    if not str(told["tracing"]).startswith("denied: ") or "ptrace_scope" not in told["tracing"]:
        found.append(f"tracing is {told['tracing']}")
    return found


def _killed(_name: str, told: Told) -> list[str]:
    found = _left(told)
    if not told["killed"]:
        found.append("there was no hunter to kill")
    if told["code"] != 4:
        found.append(f"exit code {told['code']} instead of 4")
    return found


def _threshold(_name: str, told: Told) -> list[str]:
    found = _left(told)
    if told["attached"] != [told["big"]]:
        found.append(f"{told['attached']} were traced instead of {told['big']} alone")
    if "memory.max" not in str(told["scan"]):
        found.append(f"the decision does not name its file: {told['scan']}")
    return found


def _out_of_memory(_name: str, told: Told) -> list[str]:
    found = []
    exits = [event for event in told["events"] if event["event"] == "exit"]
    if told["signal"] != -9 or "oom_kill 0" in told["counter"]:
        found.append(f"the kernel did not kill it: {told['signal']}, {told['counter']}")
    if not exits or not exits[0].get("oom"):
        found.append(f"not told as an OOM kill: {told['events']}")
    if told["code"] != 0:
        found.append(f"exit code {told['code']}")
    if told["left"]["hunters"]:
        found.append(f"processes of hunter are left: {told['left']['hunters']}")
    return found


def _verified(_name: str, told: Told) -> list[str]:
    return list(told["refused"]) if told["cases"] else ["nothing was loaded"]


_JUDGES: dict[str, Callable[[str, Told], list[str]]] = {
    "ptrace": _counted,
    "ptrace-python": _counted,
    "ebpf": _counted,
    "auto": _counted,
    "ptrace-busy": _counted,
    "ebpf-busy": _counted,
    "user": _counted,
    "root-yama1": _counted,
    "user-yama1": _denied,
    "killed-ptrace": _killed,
    "killed-ptrace-python": _killed,
    "killed-ebpf": _killed,
    "threshold": _threshold,
    "oom": _out_of_memory,
    "verifier": _verified,
}
