"""Socket addresses, messages and options."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address
from struct import Struct

from gatherer.rendering.strace.args.flags import named
from gatherer.rendering.strace.args.literals import address, escape, hexadecimal, quote, signed32
from gatherer.rendering.strace.args.memory import (
    Args,
    Memory,
    Place,
    Render,
    array_text,
    buffer_text,
    captured,
    key,
)
from gatherer.rendering.strace.args.vectors import iovec_text
from hg_shared.abi_flags import flag_table

_INT = Struct("<i")
_UINT = Struct("<I")
_HEADER = {4: Struct("<IIIIIII"), 8: Struct("<QI4xQQQQI4x")}
_CMSG = {4: Struct("<Iii"), 8: Struct("<Qii")}
_UCRED = Struct("<iII")

_domain = named("sock_domain")
_level = named("sock_level")
_scm = named("scm")
_msg_flags = named("msg_flags")
_protocol = named("eth_protocol")
_hardware = named("arp_type")
_packet_type = named("packet_type")


def sockaddr_text(data: bytes) -> str | None:
    """Returns a struct sockaddr.

    Args:
        data: its bytes, as many as its length says.

    Returns:
        None when there is not even a family.
    """
    if len(data) < 2:
        return None
    family = data[0] | data[1] << 8
    if family == 1:
        if len(data) == 2:
            return "{sa_family=AF_UNIX}"
        path = data[2:110]
        if path[0]:
            return f"{{sa_family=AF_UNIX, sun_path={quote(path.partition(bytes(1))[0])}}}"
        return f"{{sa_family=AF_UNIX, sun_path=@{quote(path[1:])}}}"
    if family == 2 and len(data) >= 16:
        port = data[2] << 8 | data[3]
        text = _dotted(data[4:8])
        return f'{{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr("{text}")}}'
    if family == 10 and len(data) >= 24:
        return _inet6(data)
    if family == 16 and len(data) >= 12:
        pad, pid, groups = Struct("<HiI").unpack_from(data, 2)
        shown = f"{groups:#08x}" if groups else "00000000"
        padding = f"nl_pad={pad:#x}, " if pad else ""
        return f"{{sa_family=AF_NETLINK, {padding}nl_pid={pid}, nl_groups={shown}}}"
    if family == 17 and len(data) >= 20:
        return _packet(data)
    name = _domain(family)
    if len(data) == 2:
        return f"{{sa_family={name}}}"
    return f'{{sa_family={name}, sa_data="{escape(data[2:128])}"}}'


def interface(number: int) -> str:
    """Returns a network interface's index; the first one of every network is the loopback."""
    return 'if_nametoindex("lo")' if number == 1 else str(number)


def _packet(data: bytes) -> str:
    protocol = data[2] << 8 | data[3]
    number, kind, packets, length = Struct("<iHBB").unpack_from(data, 4)
    parts = [
        f"sll_protocol=htons({_protocol(protocol)})",
        f"sll_ifindex={interface(number)}",
        f"sll_hatype={_hardware(kind)}",
        f"sll_pkttype={_packet_type(packets)}",
        f"sll_halen={length}",
    ]
    if length:
        shown = ", ".join(f"{byte:#x}" if byte else "00" for byte in data[12 : 12 + min(length, 8)])
        parts.append(f"sll_addr=[{shown}]")
    return f"{{sa_family=AF_PACKET, {', '.join(parts)}}}"


def _dotted(data: bytes) -> str:
    return ".".join(map(str, data))


def _inet6_text(data: bytes) -> str:
    """Returns an IPv6 address as inet_ntop(3) does: an IPv4 address at its end is dotted."""
    if data[:10] == bytes(10):
        if data[10:12] == b"\xff\xff":
            return f"::ffff:{_dotted(data[12:])}"
        if data[10:12] == bytes(2) and data[12:14] != bytes(2):
            return f"::{_dotted(data[12:])}"
    return str(IPv6Address(data))


def _inet6(data: bytes) -> str:
    port = data[2] << 8 | data[3]
    flow = int.from_bytes(data[4:8], "big")
    text = _inet6_text(data[8:24])
    scope = ""
    if len(data) >= 28:
        scope = f", sin6_scope_id={interface(_UINT.unpack_from(data, 24)[0])}"
    return (
        f"{{sa_family=AF_INET6, sin6_port=htons({port}), sin6_flowinfo=htonl({flow}),"
        f' inet_pton(AF_INET6, "{text}", &sin6_addr){scope}}}'
    )


_ADDRESS_MAX = 2048


@captured()
def socket_address(
    place: Place, length: int, data: bytes, _args: Args, memory: Memory, *_: object
) -> str | None:
    """Struct sockaddr; of an out-argument no more than the caller had room for."""
    room = key(int(place.length.lstrip("*")), 0, True) if place.length[:1] == "*" else None
    if not 0 <= signed32(length) <= _ADDRESS_MAX or len(data) < min(length, 128):
        return None
    if room is not None:
        before = memory.get(room)
        if before is not None and len(before[1]) >= 4:
            data = data[: max(_INT.unpack_from(before[1])[0], 0)]
    return sockaddr_text(data)


def control_text(data: bytes, length: int, word: int) -> str | None:
    """Returns the control messages of a msghdr, None when there is no whole one.

    Args:
        data: what was captured.
        length: msg_controllen.
        word: bytes of a size_t.
    """
    head = _CMSG[word]
    size = head.size
    if len(data) < size:
        return None
    parts = []
    at = 0
    while at + size <= len(data):
        cmsg_len, level, kind = head.unpack_from(data, at)
        payload = data[at + size : min(at + max(cmsg_len, size), len(data))]
        level_text = _level(level & 0xFFFFFFFF)
        text = f"{{cmsg_len={cmsg_len}, cmsg_level={level_text}, cmsg_type="
        if level == 1:
            text += _scm(kind & 0xFFFFFFFF) + _socket_control(kind, payload)
        else:
            text += hexadecimal(kind & 0xFFFFFFFF)
        parts.append(text + "}")
        if cmsg_len < size:
            parts.append("...")
            break
        at += (cmsg_len + word - 1) // word * word
    else:
        if length > len(data):
            parts.append("...")
    return f"[{', '.join(parts)}]"


def _socket_control(kind: int, payload: bytes) -> str:
    if kind == 1 and len(payload) >= 4:
        fds = [str(fd) for (fd,) in _INT.iter_unpack(payload[: len(payload) // 4 * 4])]
        return f", cmsg_data=[{', '.join(fds)}]"
    if kind == 2 and len(payload) >= 12:
        pid, uid, gid = _UCRED.unpack_from(payload)
        return f", cmsg_data={{pid={pid}, uid={_id(uid)}, gid={_id(gid)}}}"
    return ""


def _id(value: int) -> str:
    return "-1" if value == 0xFFFFFFFF else str(value)


def header_text(
    data: bytes, memory: Memory, arg: int, hop: int, word: int, limit: int, room: int | None
) -> str:
    """Returns a struct msghdr.

    Args:
        data: the structure, whole.
        memory: captures.
        arg: argument it belongs to.
        hop: hop of its name; iovec array, control and buffers follow.
        word: bytes of a pointer.
        limit: string size.
        room: msg_namelen before the call, None when it is not value-result.
    """
    name, name_length, vector, count, control, control_length, flags = _HEADER[word].unpack(data)
    got = memory.get(key(arg, hop))
    name_text = address(name)
    if got is not None:
        shown = signed32(name_length) if room is None else min(signed32(name_length), room)
        name_text = sockaddr_text(got[1][: max(shown, 0)]) or name_text
    length_text = str(signed32(name_length))
    if room is not None and room != signed32(name_length):
        length_text = f"{room} => {length_text}"
    vector_text = iovec_text(vector, count, memory, arg, hop + 1, hop + 3, word, limit)
    text = (
        f"{{msg_name={name_text}, msg_namelen={length_text}, msg_iov={vector_text},"
        f" msg_iovlen={count}"
    )
    if control_length:
        held = memory.get(key(arg, hop + 2))
        control_shown = control_text(held[1], control_length, word) if held else None
        text += f", msg_control={control_shown or address(control)}"
    return f"{text}, msg_controllen={control_length}, msg_flags={_msg_flags(flags)}}}"


def message_header(place: Place) -> Render:
    """Struct msghdr of sendmsg and recvmsg."""
    index, word, limit = place.index, place.word, place.limit
    received = place.direction == "<"
    wanted, before_key = key(index, 0), key(index, 0, True)

    def render(args: Args, memory: Memory, rval: int) -> str:
        found = memory.get(wanted)
        if found is None or len(found[1]) < 7 * word:
            before = memory.get(before_key) if received and -4096 < rval < 0 else None
            if before is not None and len(before[1]) >= 7 * word:
                return f"{{msg_namelen={_INT.unpack_from(before[1], word)[0]}}}"
            return address(args[index])
        room = None
        if received:
            before = memory.get(before_key)
            if before is not None and len(before[1]) >= word + 4:
                room = _INT.unpack_from(before[1], word)[0]
        return header_text(found[1][: 7 * word], memory, index, 1, word, limit, room)

    return render


@captured()
def message_headers(
    place: Place, length: int, data: bytes, args: Args, memory: Memory, rval: int
) -> str | None:
    """Struct mmsghdr array of sendmmsg and recvmmsg."""
    index, word, limit = place.index, place.word, place.limit
    size = 8 * word
    parts = []
    for i in range(min(len(data) // size, 12)):
        head = data[i * size : i * size + 7 * word]
        sent = _UINT.unpack_from(data, i * size + 7 * word)[0]
        text = header_text(head, memory, index, 1 + 20 * i, word, limit, None)
        suffix = f", msg_len={sent}" if i < rval else ""
        parts.append(f"{{msg_hdr={text}{suffix}}}")
    return array_text(parts, length // size, min(limit, 12), args[index], size)


_OPTIONS = {
    0: "ip_option",
    1: "so_option",
    6: "tcp_option",
    17: "udp_option",
    41: "ipv6_option",
    263: "packet_option",
    270: "netlink_option",
}


def _option_formatters() -> dict[int, Callable[[int], str]]:
    return {level: named(table) for level, table in _OPTIONS.items() if flag_table(table)}


_options = _option_formatters()


def option_name(args: Args) -> str:
    """Returns the name of a socket option; which table depends on the level."""
    names = _options.get(args[1] & 0xFFFFFFFF)
    value = args[2] & 0xFFFFFFFF
    return names(value) if names is not None else str(value)


def socket_option(_place: Place) -> Render:
    """The option argument of getsockopt and setsockopt."""
    return lambda args, _memory, _rval: option_name(args)


@captured()
def option_value(place: Place, length: int, data: bytes, args: Args, *_: object) -> str | None:
    """The value of a socket option: by its option for the known structures, else one int."""
    level, option = args[1] & 0xFFFFFFFF, args[2] & 0xFFFFFFFF
    if level == 1 and option == 13 and len(data) >= 8:
        on, linger = Struct("<ii").unpack_from(data)
        return f"{{l_onoff={on}, l_linger={linger}}}"
    if level == 1 and option == 17 and len(data) >= 12:
        pid, uid, gid = _UCRED.unpack_from(data)
        return f"{{pid={pid}, uid={_id(uid)}, gid={_id(gid)}}}"
    if level == 1 and option == 4 and len(data) >= 4:
        error = _INT.unpack_from(data)[0]
        return f"[{_error(error)}]"
    if level == 1 and option == 9:
        return f"[{_INT.unpack_from(data)[0]}]" if len(data) >= 4 else None
    if length == 4 and len(data) >= 4:
        return f"[{_INT.unpack_from(data)[0]}]"
    if level == 1 and option in (26, 51) and place.word == 8:
        if len(data) < 16:
            return None
        count, pointer = Struct("<H6xQ").unpack_from(data)
        return f"{{len={count}, filter={address(pointer)}}}"
    if level == 0 and option in (35, 36) and len(data) >= 8:
        return (
            f'{{imr_multiaddr=inet_addr("{_dotted(data[:4])}"),'
            f' imr_interface=inet_addr("{_dotted(data[4:8])}")}}'
        )
    if level == 41 and option in (20, 21) and len(data) >= 20:
        return (
            f'{{inet_pton(AF_INET6, "{_inet6_text(data[:16])}", &ipv6mr_multiaddr),'
            f" ipv6mr_interface={interface(_UINT.unpack_from(data, 16)[0])}}}"
        )
    return buffer_text(length, data, 32)


def _error(value: int) -> str:
    from hg_shared.linux_abi import ERRNO

    known = ERRNO.get(value)
    return known[0] if known and value else str(value)


KINDS: dict[str, Callable[[Place], Render]] = {
    "sockaddr": socket_address,
    "msghdr": message_header,
    "mmsghdr": message_headers,
    "sock_option": socket_option,
    "sock_optval": option_value,
}
