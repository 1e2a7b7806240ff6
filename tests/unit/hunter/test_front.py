"""Which mappings of the process that waits for hunter can go."""

from __future__ import annotations

from hunter.front import CODE, unneeded

MAPS = b"""\
00400000-00401000 r-xp 00000000 fe:01 42 /usr/bin/python3.11
01000000-01100000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000001000 r-xp 00000000 00:00 0
7f0000001000-7f0000011000 rw-s 00000000 00:01 1 /dev/zero (deleted)
7f0000020000-7f0000030000 rw-p 00000000 00:00 0 [anon: glibc: malloc]
7f0000040000-7f0000044000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
7ffc00030000-7ffc00034000 r--p 00000000 00:00 0 [vvar]
7ffc00034000-7ffc00036000 r-xp 00000000 00:00 0 [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]
""".splitlines()


def test_all_goes_but_the_stack_the_kernels_pages_and_what_is_kept():
    kept = (0x7F0000000000, 0x7F0000001010, 0x7F0000043FFF)
    assert list(unneeded(MAPS, kept)) == [
        (0x00400000, 0x1000),
        (0x01000000, 0x100000),
        (0x7F0000020000, 0x10000),
    ]


def test_there_is_code_for_both_machines_that_fits_a_page():
    assert sorted(CODE) == ["aarch64", "x86_64"]
    assert all(0 < len(bytes.fromhex(code)) < 4096 for code in CODE.values())
