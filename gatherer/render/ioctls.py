"""ioctl(2) commands by name.

Facts from the kernel's uapi headers: asm-generic/ioctls.h, sockios.h, fs.h.
"""

from __future__ import annotations

from gatherer.render.text import hexadecimal

_IOCTL_NAMES = """\
5401 TCGETS SNDCTL_TMR_START~TCSETS SNDCTL_TMR_STOP~TCSETSW SNDCTL_TMR_CONTINUE~TCSETSF
5405 TCGETA TCSETA TCSETAW TCSETAF TCSBRK TCXONC TCFLSH TIOCEXCL
540d TIOCNXCL TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ TIOCMGET
5416 TIOCMBIS TIOCMBIC TIOCMSET TIOCGSOFTCAR TIOCSSOFTCAR FIONREAD TIOCLINUX TIOCCONS TIOCGSERIAL
541f TIOCSSERIAL TIOCPKT FIONBIO TIOCNOTTY TIOCSETD TIOCGETD TCSBRKP
5427 TIOCSBRK TIOCCBRK TIOCGSID
5437 TIOCVHANGUP
5441 TIOCGPTPEER
5450 FIONCLEX FIOCLEX FIOASYNC
5460 FIOQSIZE
80045430 TIOCGPTN
40045431 TIOCSPTLCK
802c542a TCGETS2
402c542b TCSETS2 TCSETSW2 TCSETSF2
80045438 TIOCGPKT TIOCGPTLCK
80045440 TIOCGEXCL
8901 FIOSETOWN SIOCSPGRP FIOGETOWN SIOCGPGRP SIOCATMARK SIOCGSTAMP_OLD SIOCGSTAMPNS_OLD
8910 SIOCGIFNAME SIOCSIFLINK SIOCGIFCONF SIOCGIFFLAGS SIOCSIFFLAGS SIOCGIFADDR SIOCSIFADDR
8921 SIOCGIFMTU SIOCSIFMTU
8927 SIOCGIFHWADDR
8933 SIOCGIFINDEX
40049409 FICLONE
80086601 FS_IOC_GETFLAGS
40086602 FS_IOC_SETFLAGS
c020660b FS_IOC_FIEMAP
80081272 BLKGETSIZE64
1260 BLKGETSIZE
1268 BLKSSZGET
"""


def _ioctl_table() -> dict[int, str]:
    table = {}
    for line in _IOCTL_NAMES.splitlines():
        first, *names = line.split()
        for number, name in enumerate(names, int(first, 16)):
            if not name.endswith("_"):
                table[number] = name.replace("~", " or ")
    return table


_IOCTLS = _ioctl_table()
_DIRECTIONS = ("_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE")


def ioctl_text(value: int) -> str:
    """Returns a command by name, or taken apart as `_IOC(direction, type, number, size)`.

    Args:
        value: the argument; the kernel looks at 32 bits of it.
    """
    value &= 0xFFFFFFFF
    name = _IOCTLS.get(value)
    if name is not None:
        return name
    return (
        f"_IOC({_DIRECTIONS[value >> 30]}, {hexadecimal(value >> 8 & 0xFF)},"
        f" {hexadecimal(value & 0xFF)}, {hexadecimal(value >> 16 & 0x3FFF)})"
    )
