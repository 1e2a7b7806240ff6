"""Compares two `strace -f -tt -T` logs of the same program: pure, text in, figures out.

The calls of each thread are compared in their order, unfinished and resumed ones joined, and to
the letter but for what no two runs share: time stamps and durations, process ids, addresses of 36
bits and more, times in the results of calls that ask for the time, and what getrandom(2) returns.
Of a pointer-sized union only the half that the program has set counts (epoll_data_t), and
parent_tid is taken for a process id whatever it is: a thread that has ended has made it 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import SequenceMatcher

GATE = 'read(0, "go\\n"'
"""The call that every program waits in until it is traced."""
HELPER = 'prctl(PR_SET_NAME, "helper")'
"""The first call of children that only watch their parent."""

_LINE = re.compile(r"(\d+) +(\d\d:\d\d:\d\d\.\d{6}) (.*)\Z")
_UNFINISHED = re.compile(r"(.*) <unfinished \.\.\.>\Z")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)\Z")
_DURATION = re.compile(r" <\d+\.\d{6}>\Z")
_GAP = re.compile(r"\s+= (?=[-?\d])")
_NOTE = re.compile(r"\+\+\+ (?:RENAMED|LOST|GAP|WINDOW|DROPPED) ")
_CHILD = re.compile(r"(?:fork|vfork|clone|clone3)\(.*\) = (\d+)\Z")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_ADDRESS = re.compile(r"0x[0-9a-f]{9,16}\b")
_LOW_ADDRESS = re.compile(r"\b0x[0-9a-f]{7,8}\b")
_TICKS = re.compile(r"si_(u|s)time=\d+(?: /\* [^*]*\*/)?")
_LEFT = re.compile(r"left \{[^}]*\}")
_TIME = re.compile(r"\b(tv_sec|tv_usec|tv_nsec)=\d+")
_RANDOM = re.compile(r'getrandom\("[^"]*"')
_TICKING = re.compile(
    r"(?:clock_gettime|gettimeofday|getrusage|wait4|waitid|timer_gettime|timerfd_gettime|getitimer"
    r"|futex\(ADDRESS, FUTEX_WAIT_BITSET|clock_nanosleep\(\w+, TIMER_ABSTIME)"
)
_CLOCK = re.compile(r"\A(times?\(.*\)) = \d+(?: \(.*\))?\Z")
_HIGH_HALF = re.compile(r"u32=(\d+), u64=(?:\1|\d{10,})\b")
_TID = re.compile(r"parent_tid=\[\d+\]")


@dataclass
class Thread:
    """What one thread did.

    Attributes:
        tid: its id.
        lines: calls, signals and its end, in order, with unfinished calls joined to their end.
    """

    tid: int
    lines: list[str] = field(default_factory=list)


def threads(text: str) -> list[Thread]:
    """Returns the threads of a log, of one process or of many, in the order of their appearance.

    Args:
        text: a log; notes that are no line of strace's are left out.
    """
    found: dict[int, Thread] = {}
    begun: dict[int, tuple[int, str]] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"not a line of strace -f -tt: {line!r}")
        tid, content = int(match[1]), match[3]
        if _NOTE.match(content):
            continue
        thread = found.setdefault(tid, Thread(tid))
        if unfinished := _UNFINISHED.match(content):
            begun[tid] = (len(thread.lines), unfinished[1])
            thread.lines.append(content)
        elif resumed := _RESUMED.match(content):
            at, first = begun.pop(tid, (len(thread.lines), ""))
            thread.lines[at : at + 1] = [first + resumed[2]]
        else:
            thread.lines.append(content)
    return list(found.values())


def program(found: Iterable[Thread], pid: int) -> list[Thread]:
    """Returns the threads of one program and of its children.

    Its first thread begins with the end of its wait at the gate; helpers are left out.

    Args:
        found: threads of one program or of many.
        pid: its process.
    """
    by_tid = {thread.tid: thread for thread in found}
    members: list[Thread] = []
    waiting = [pid]
    while waiting:
        thread = by_tid.pop(waiting.pop(0), None)
        if thread is None:
            continue
        at = -1
        if thread.tid == pid:
            at = next((i for i, line in enumerate(thread.lines) if line.startswith(GATE)), -1)
        # In a child of a thread libc makes a call of its own before.
        if any(line.startswith(HELPER) for line in thread.lines[:3]):
            continue
        members.append(Thread(thread.tid, thread.lines[at + 1 :]))
        for line in thread.lines:
            child = _CHILD.match(_bare(line))
            if child:
                waiting.append(int(child[1]))
    return members


def _bare(line: str) -> str:
    return _GAP.sub(" = ", _DURATION.sub("", line))


def plain(
    found: Iterable[Thread], others: Iterable[int], low_addresses: bool = False, without: str = ""
) -> list[list[str]]:
    """Returns the lines of threads without what differs from run to run.

    Args:
        found: the threads of one process.
        others: further process ids that may appear in lines.
        low_addresses: addresses have seven digits here.
        without: calls of this name are left out, none when empty.
    """
    found = list(found)
    names = {str(number): f"other{i}" for i, number in enumerate(others)}
    for i, thread in enumerate(found):
        names[str(thread.tid)] = f"pid{i}"
    plain_threads = []
    for thread in found:
        lines = []
        for line in thread.lines:
            line = _bare(line)
            child = _CHILD.match(line)
            if child:
                names.setdefault(child[1], "child")
            if without and line.startswith(f"{without}("):
                continue
            line = _ADDRESS.sub("ADDRESS", line)
            if low_addresses:
                line = _LOW_ADDRESS.sub("ADDRESS", line)
            line = _TICKS.sub(r"si_\1time=TICKS", line)
            line = _LEFT.sub("left TIME", line)
            line = _RANDOM.sub("getrandom(RANDOM", line)
            line = _CLOCK.sub(r"\1 = TIME", line)
            line = _HIGH_HALF.sub(r"u32=\1, u64=ANY", line)
            line = _TID.sub("parent_tid=[child]", line)
            if _TICKING.match(line):
                line = _TIME.sub(r"\1=T", line)
            lines.append(_NUMBER.sub(lambda match: names.get(match[0], match[0]), line))
        plain_threads.append(lines)
    return plain_threads


@dataclass
class Agreement:
    """How far two logs of one program agree.

    Attributes:
        agreed: lines that are the same in both, in order.
        lines: lines of the longer one.
        differences: lines of one only, `- ` strace's, `+ ` ours.
    """

    agreed: int
    lines: int
    differences: list[str]

    @property
    def share(self) -> float:
        """Returns the share that agrees."""
        return self.agreed / self.lines if self.lines else 1.0


def agreement(theirs: list[list[str]], ours: list[list[str]]) -> Agreement:
    """Compares the threads of two runs, each with its own.

    Args:
        theirs: lines of each thread as strace has them.
        ours: lines of each thread in our log.
    """
    agreed = lines = 0
    differences = []
    for i in range(max(len(theirs), len(ours))):
        a = theirs[i] if i < len(theirs) else []
        b = ours[i] if i < len(ours) else []
        matcher = SequenceMatcher(None, a, b, autojunk=False)
        lines += max(len(a), len(b))
        for what, a0, a1, b0, b1 in matcher.get_opcodes():
            if what == "equal":
                agreed += a1 - a0
            else:
                differences += [f"- {line}" for line in a[a0:a1]]
                differences += [f"+ {line}" for line in b[b0:b1]]
    return Agreement(agreed, lines, differences)
