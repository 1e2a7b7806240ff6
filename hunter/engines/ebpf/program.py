"""The compiled programs, and what they are linked with. Pure."""

from __future__ import annotations

import base64
import json
import zlib
from struct import Struct
from typing import Dict, List, Mapping, NamedTuple

from hunter.engines.ebpf import programs
from hunter.engines.ebpf.settings import Settings

_INSTRUCTION = Struct("<BBhI")
# Source register of the instruction that loads an address (linux/bpf.h, BPF_PSEUDO_).
_MAP_FD, _MAP_VALUE = 1, 2
BY_VALUE = frozenset("state calls zeroes calibration".split())
"""Maps of one element, whose value the programs use in place (kernel 5.2)."""
SETTING = "settings."
"""What a symbol begins with that is a setting, and no map."""


class Program(NamedTuple):
    """A program as it was compiled.

    Attributes:
        kind: of program: `raw_tp`.
        code: its instructions.
        relocations: name of a map or a setting → which instructions load it.
    """

    kind: str
    code: bytes
    relocations: Dict[str, List[int]]

    def link(self, fds: Mapping[str, int], settings: Settings) -> bytes:
        """Returns the instructions with descriptors of maps and settings in them.

        What uses a map that is not there the verifier must not reach: the address is 0.

        Args:
            fds: descriptors of the maps by name.
            settings: what the program is made for.
        """
        code = bytearray(self.code)
        values = settings._asdict()
        for name, places in self.relocations.items():
            for at in places:
                opcode, register, _, addend = _INSTRUCTION.unpack_from(code, at * 8)
                low = high = pseudo = 0
                if name.startswith(SETTING):
                    value = values[name[len(SETTING) :]]
                    low, high = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
                elif name in fds:
                    pseudo = _MAP_VALUE if name in BY_VALUE else _MAP_FD
                    low, high = fds[name], addend
                _INSTRUCTION.pack_into(code, at * 8, opcode, register | pseudo << 4, 0, low)
                _INSTRUCTION.pack_into(code, at * 8 + 8, 0, 0, 0, high)
        return bytes(code)


def compiled() -> Dict[str, Program]:
    """Returns all programs by name."""
    text, code = zlib.decompress(base64.b85decode(programs.PROGRAMS)).split(b"\n", 1)
    found, at = {}, 0
    for name, (kind, size, relocations) in json.loads(text).items():
        found[name] = Program(kind, code[at : at + size], relocations)
        at += size
    return found
