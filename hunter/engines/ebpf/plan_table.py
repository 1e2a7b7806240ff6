"""The capture plan as the programs read it: calls, plans, and selections by argument. Pure."""

from __future__ import annotations

from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from hg_shared.records import Abi
from hunter.calls import capture_plan as forms
from hunter.calls.capture_plan import Item, Items
from hunter.engines.ebpf import layout
from hunter.engines.ebpf.layout import (
    AS_STRING,
    BY_ARGUMENT,
    BY_BITS,
    BY_INT_ARGUMENT,
    BY_PAGES,
    BY_POINTER,
    BY_RETURN,
    ENTRIES,
    ENTRY_SIMPLE,
    ENTRY_STRINGS,
    EXIT_ENTRIES,
    EXIT_VECTORS,
    MESSAGE,
    SIGFRAME,
    SIGSET,
    STRINGS,
    VECTOR,
)

_PATH_MAX = 4096

Encoded = Tuple[int, int, int, int, int, int, int]
"""Form, arg, length argument, out, factor, addend and bound of an item."""


class PlanTable(NamedTuple):
    """Contents of the maps.

    Attributes:
        calls: value of the map `calls`.
        plans: values of the map `plans`, by index; 0 is not used.
        selections: map `selections`: key → plan | route << 16.
    """

    calls: bytes
    plans: List[bytes]
    selections: Dict[bytes, int]

    def exit_plan(self, compat: bool, nr: int) -> Tuple[int, int]:
        """Returns plan and route at exit of a call that selects nothing, (0, 0) for others."""
        if not 0 <= nr < 512:
            return 0, 0
        fields = layout.CALL.unpack_from(self.calls, (compat << 9 | nr) * layout.CALL_SIZE)
        return (0, 0) if fields[0] & layout.CALL_SELECTS_AT_EXIT else (fields[3], fields[5])


class _PlanTableBuilder:
    def __init__(self, string_size: int) -> None:
        self.limit = min(string_size, layout.MAX_PIECE)
        self.plans: List[bytes] = [bytes(layout.PLAN_SIZE)]
        self.selections: Dict[bytes, int] = {}
        self._known: Dict[bytes, int] = {}

    def plan(self, items: Items, at_exit: bool, word: int) -> Tuple[int, int]:
        """Returns index and route of a plan, (0, 0) when nothing is read."""
        encoded = []
        route = 0 if at_exit else ENTRY_SIMPLE
        for item in items:
            made = self._item(item, word)
            if made is None:
                continue
            encoded.append(layout.ITEM.pack(*made))
            if made[0] in (VECTOR, MESSAGE) and at_exit:
                route = EXIT_VECTORS
            elif made[0] == STRINGS:
                route = ENTRY_STRINGS
            elif made[0] == ENTRIES:
                route = EXIT_ENTRIES
        if not encoded:
            return 0, 0
        value = (bytes(8) + b"".join(encoded[: layout.MAX_ITEMS])).ljust(layout.PLAN_SIZE, b"\0")
        index = self._known.get(value)
        if index is None:
            index = self._known[value] = len(self.plans)
            self.plans.append(value)
        return index, route

    def _item(self, item: Item, word: int) -> Optional[Encoded]:
        """Returns an item as the programs read it, None for one that they do not."""
        form, arg, n, m, out = item
        limit, piece = self.limit, layout.MAX_PIECE
        if form == forms.PATH:
            return AS_STRING, arg, 0, out, 0, 0, min(_PATH_MAX, piece)
        if form == forms.STRING:
            return AS_STRING, arg, 0, out, 0, 0, limit
        if form == forms.BUF_ARG:
            return BY_ARGUMENT, arg, n, out, 1, m, min(limit + m, piece)
        if form == forms.BUF_RET:
            return BY_RETURN, arg, 0, out, 1, m, min(limit + m, piece)
        if form == forms.STRUCT:
            return BY_ARGUMENT, arg, 0, out, 0, n, min(n, piece)
        if form == forms.BYTES_ARG:
            return BY_ARGUMENT, arg, n, out, 1, 0, m
        if form == forms.BYTES_RET:
            return BY_RETURN, arg, 0, out, 1, 0, m
        if form == forms.BYTES_PTR:
            return BY_POINTER, arg, n, out, 1, 0, m
        if form == forms.ARRAY_ARG:
            return BY_INT_ARGUMENT, arg, n, out, m, 0, min(limit * m, piece)
        if form == forms.ARRAY_RET:
            return BY_RETURN, arg, 0, out, m, 0, min(limit * m, piece)
        if form == forms.BITS:
            return BY_BITS, arg, n, out, 1, 0, m
        if form == forms.PAGES:
            return BY_PAGES, arg, n, out, 1, 0, limit
        if form == forms.SIGFRAME:
            return (SIGFRAME, arg, 0, out, 0, m, 8) if m else None
        # Pointers of 4 bytes in memory are not followed.
        return self._followed(item) if word == 8 else None

    def _followed(self, item: Item) -> Optional[Encoded]:
        """Returns the same of an item whose memory has pointers in it."""
        form, arg, n, m, out = item
        limit = self.limit
        if form == forms.SIGSET_PACK:
            return SIGSET, arg, 0, out, 0, 0, 2 * m
        if form == forms.IOVEC:
            return VECTOR, arg, n, out, int(m > 0), limit, min(32, limit)
        if form == forms.MSGHDR:
            return MESSAGE, arg, 0, out, 1, limit, min(32, limit)
        if form in (forms.STRINGS, forms.STRING_COUNT):
            shown = min(32, limit) if form == forms.STRINGS else 0
            return STRINGS, arg, 0, out, shown, 0, limit
        if form == forms.DENTS:
            return ENTRIES, arg, 0, out, m, 0, 0
        return None  # MMSGHDR: see docs/engines.md


def plan_table(
    native: int, string_size: int, wanted: Optional[Dict[int, FrozenSet[int]]]
) -> PlanTable:
    """Returns the capture plan of the machine's ABI and of its 32-bit one.

    Args:
        native: `Abi.X86_64` or `Abi.AARCH64`.
        string_size: bytes of each string and buffer to keep.
        wanted: syscall numbers to record by ABI, None for all.
    """
    builder = _PlanTableBuilder(string_size)
    calls = bytearray(layout.CALLS * layout.CALL_SIZE)
    abis = [native, Abi.I386] if native == Abi.X86_64 else [native]
    maybe = set(range(512)) if wanted is None else set()
    for bank, abi in enumerate(abis):
        table = forms.plan(abi)
        chosen = range(512) if wanted is None else wanted.get(abi, frozenset())
        maybe.update(chosen)
        for nr in range(512):
            plan = table[nr] if nr < len(table) else None
            fields = [0, 0, 0, 0, 0, 0, 0]
            if plan is not None:
                fields = _call(builder, bank << 9 | nr, plan, 4 if abi == Abi.I386 else 8)
            if nr in chosen:
                fields[0] |= layout.CALL_WANTED
            layout.CALL.pack_into(calls, (bank << 9 | nr) * layout.CALL_SIZE, *fields)
    for index in range(layout.CALLS):
        if index & 511 in maybe:
            calls[index * layout.CALL_SIZE] |= layout.CALL_MAYBE_WANTED
        if wanted is None:
            calls[index * layout.CALL_SIZE] |= layout.CALL_WANTED
    return PlanTable(bytes(calls), builder.plans, builder.selections)


def _call(builder: _PlanTableBuilder, index: int, plan: forms.CallPlan, word: int) -> List[int]:
    flags = argument = mask = 0
    plans, routes = [0, 0], [0, 0]
    for stop, items in enumerate(plan):
        if items and items[0][0] == forms.SELECT:
            _, argument, mask, by_value, default = items[0]
            flags |= layout.CALL_SELECTS_AT_EXIT if stop else layout.CALL_SELECTS_AT_ENTRY
            for value, selected in by_value.items():
                made, route = builder.plan(selected, bool(stop), word)
                key = layout.SELECTION_KEY.pack(index | stop << 16, value & mask & 0xFFFFFFFF)
                builder.selections[key] = made | route << 16
            items = default or ()
        plans[stop], routes[stop] = builder.plan(items, bool(stop), word)
    return [flags, argument, plans[0], plans[1], routes[0], routes[1], mask & 0xFFFFFFFF]
