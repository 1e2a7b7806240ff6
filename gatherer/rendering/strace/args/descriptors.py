"""The text of descriptors: what they refer to, behind their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from gatherer.rendering.strace.args.descriptor_changes import AT_FDCWD, CWD, Changes
from gatherer.rendering.strace.args.descriptor_table import DescriptorTable
from gatherer.rendering.strace.args.literals import escape, signed32
from gatherer.rendering.strace.args.memory import Args, Memory, Place, Render
from gatherer.rendering.strace.args.returns import Returned
from hg_shared.records import Record

_rights = re.compile(r"(cmsg_type=SCM_RIGHTS, cmsg_data=\[)([^\]]*)")
_angle = re.compile(r"[<>](?=([0-7])?)")


@lru_cache(maxsize=4096)
def shown(text: str) -> str:
    """Returns what stands behind a descriptor.

    Args:
        text: as hunter.calls.fds makes it: a path, with NUL and a device's numbers behind it, or
            anything that does not begin with `/`.
    """
    if not text:
        return ""
    name, _, device = text.partition("\0")
    if not name.startswith("/"):
        return f"<{_printable(name)}>"
    path, deleted = name, ""
    if name.endswith(" (deleted)"):
        path, deleted = name[:-10], "(deleted)"
    # strace's own brackets must stay the only ones.
    inner = _angle.sub(_octal, escape(path.encode("utf-8", "surrogateescape")))
    kind = f"<{_printable(device)}>" if device else ""
    return f"<{inner}{kind}>{deleted}"


def _octal(found: re.Match[str]) -> str:
    return f"\\{ord(found[0]):03o}" if found[1] else f"\\{ord(found[0]):o}"


def _printable(text: str) -> str:
    return escape(text.encode("utf-8", "surrogateescape")).replace('\\"', '"')


class Descriptors:
    """Adds to calls what their descriptors refer to; the table is that of the current process."""

    def __init__(self) -> None:
        self._entries: Mapping[int, str] = {}
        self._new: Changes = {}

    def begin(self, table: DescriptorTable, record: Record) -> None:
        """Says whose call is rendered next.

        Args:
            table: of its process, at the moment that is rendered.
            record: the call.
        """
        self._entries = table.entries
        self._new = table.changes(record)

    def text(self, number: int) -> str:
        """Returns a descriptor with what it refers to."""
        return f"{number}{shown(self._entries.get(number, ''))}"

    def new_text(self, number: int) -> str:
        """Returns a descriptor with what it refers to after the call."""
        return f"{number}{shown(self._new.get(number) or self._entries.get(number, ''))}"

    def kinds(
        self, known: Mapping[str, Callable[[Place], Render]]
    ) -> dict[str, Callable[[Place], Render]]:
        """Returns the factories of all kinds that hold descriptors.

        Args:
            known: factories without what they refer to.
        """
        found = {
            "fd": self._argument,
            "uint_fd": self._argument,
            "dirfd": self._directory,
            "pipefds": self._within(known["pipefds"], r"-?\d+", self.new_text),
            "pollfds": self._within(known["pollfds"], r"(?<=fd=)-?\d+", self.text),
            "msghdr": self._message(known["msghdr"]),
            "fdset": self._within(known["fdset"], r"\d+", self.text),
        }
        return {**known, **found}

    def returned(self, text: Returned, returns: str) -> Returned:
        """Returns the function that prints a return value.

        Args:
            text: what prints it without what descriptors refer to.
            returns: kind of the return value.
        """
        if returns != "fd":
            return text

        def described(args: Args, memory: Memory, rval: int) -> str:
            return self.new_text(rval) if rval >= 0 else text(args, memory, rval)

        return described

    def _argument(self, place: Place) -> Render:
        index = place.index
        return lambda args, _memory, _rval: self.text(signed32(args[index]))

    def _directory(self, place: Place) -> Render:
        index = place.index

        def render(args: Args, _memory: Memory, _rval: int) -> str:
            number = signed32(args[index])
            if number == AT_FDCWD:
                return f"AT_FDCWD{shown(self._entries.get(CWD, ''))}"
            return self.text(number)

        return render

    def _message(self, factory: Callable[[Place], Render]) -> Callable[[Place], Render]:
        def described(found: re.Match[str]) -> str:
            numbers = found[2].split(", ")
            return found[1] + ", ".join(
                self.new_text(int(number)) if number.isdecimal() else number for number in numbers
            )

        def make(place: Place) -> Render:
            render = factory(place)
            return lambda args, memory, rval: _rights.sub(described, render(args, memory, rval))

        return make

    @staticmethod
    def _within(
        factory: Callable[[Place], Render], pattern: str, text: Callable[[int], str]
    ) -> Callable[[Place], Render]:
        numbers = re.compile(pattern)

        def make(place: Place) -> Render:
            render = factory(place)

            def described(args: Args, memory: Memory, rval: int) -> str:
                plain = render(args, memory, rval)
                if not plain.startswith("["):
                    return plain  # an address
                return numbers.sub(lambda found: text(int(found[0])), plain)

            return described

        return make
