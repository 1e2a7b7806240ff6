"""System V IPC objects, network interfaces and other objects that calls describe by a structure."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from gatherer.rendering.strace.args.flags import Format, flag_text, mode_text, named
from gatherer.rendering.strace.args.layout import Layout, Text, fields, many, one
from gatherer.rendering.strace.args.literals import address, hexadecimal, quote, quote_hex
from gatherer.rendering.strace.args.memory import Args, Memory, Place, Render, captured, key
from gatherer.rendering.strace.args.scalars import value_formatter
from gatherer.rendering.strace.args.sockets import sockaddr_text
from hg_shared.abi_flags import flag_table
from hg_shared.records import Abi
from hg_shared.syscalls import IN


def _owner(data: bytes) -> str:
    _, uid, gid, _, _, mode = Struct("<6I").unpack_from(data)
    return f"uid={uid}, gid={gid}, mode={mode_text(mode & 0xFFFF)}"


def _permissions(data: bytes) -> str:
    number, _, _, cuid, cgid = Struct("<5I").unpack_from(data)
    shown = hexadecimal(number)
    return f"{_owner(data)}, key={shown}, cuid={cuid}, cgid={cgid}"


def _shm_set(_abi: int) -> tuple[int, Text]:
    return 48, lambda data: f"{{shm_perm={{{_owner(data)}}}}}"


def _shm_stat(_abi: int) -> tuple[int, Text]:
    packed = Struct("<48xQqqqiiQ")

    def text(data: bytes) -> str:
        size, accessed, detached, changed, creator, last, attached = packed.unpack_from(data)
        return (
            f"{{shm_perm={{{_permissions(data)}}}, shm_segsz={size}, shm_cpid={creator},"
            f" shm_lpid={last}, shm_nattch={attached}, shm_atime={accessed},"
            f" shm_dtime={detached}, shm_ctime={changed}}}"
        )

    return packed.size, text


_QUEUE = Struct("<48xqqqQQQii")


def _msg_set(_abi: int) -> tuple[int, Text]:
    def text(data: bytes) -> str:
        return f"{{msg_perm={{{_owner(data)}}}, msg_qbytes={_QUEUE.unpack_from(data)[5]}}}"

    return _QUEUE.size, text


def _msg_stat(_abi: int) -> tuple[int, Text]:
    def text(data: bytes) -> str:
        sent, received, changed, _, count, most, sender, receiver = _QUEUE.unpack_from(data)
        return (
            f"{{msg_perm={{{_permissions(data)}}}, msg_stime={sent}, msg_rtime={received},"
            f" msg_ctime={changed}, msg_qnum={count}, msg_qbytes={most}, msg_lspid={sender},"
            f" msg_lrpid={receiver}}}"
        )

    return _QUEUE.size, text


def _sem_stat(abi: int) -> tuple[int, Text]:
    # x86_64 keeps a word free behind each time.
    packed = Struct("<48xq8xq8xQ") if abi == Abi.X86_64 else Struct("<48xqqQ")

    def text(data: bytes) -> str:
        operated, changed, count = packed.unpack_from(data)
        return (
            f"{{sem_perm={{{_permissions(data)}}}, sem_otime={operated}, sem_ctime={changed},"
            f" sem_nsems={count}}}"
        )

    return packed.size, text


def _wide(make: Callable[[int], tuple[int, Text]]) -> Callable[[Place], Render]:
    """Returns the factory of a structure whose 32-bit form is not decoded."""

    def factory(place: Place) -> Render:
        index = place.index
        if place.word == 4:
            return lambda args, _memory, _rval: address(args[index])
        return one(make)(place)

    return factory


_flags = named("if_flags")
_arp = named("arp_type")
_ADDRESSES = {
    0x8915: "ifr_addr", 0x8916: "ifr_addr", 0x8917: "ifr_dstaddr", 0x8918: "ifr_dstaddr",
    0x8919: "ifr_broadaddr", 0x891A: "ifr_broadaddr", 0x891B: "ifr_netmask",
    0x891C: "ifr_netmask",
}  # fmt: skip
_NUMBERS = {
    0x891D: "ifr_metric", 0x891E: "ifr_metric", 0x8921: "ifr_mtu", 0x8922: "ifr_mtu",
    0x8933: "ifr_ifindex", 0x8942: "ifr_qlen", 0x8943: "ifr_qlen",
}  # fmt: skip
_SETTERS = frozenset(
    (0x8914, 0x8916, 0x8918, 0x891A, 0x891C, 0x891E, 0x8922, 0x8924, 0x8943, 0x8971)
)
_SIOCGIFNAME = 0x8910
_MAP = {40: Struct("<QQHBBB"), 32: Struct("<IIHBBB")}


def _interface_value(command: int, data: bytes) -> str:
    value = data[16:]
    if command in (0x8913, 0x8914):
        return f"ifr_flags={_flags(int.from_bytes(value[:2], 'little'))}"
    if command in _ADDRESSES:
        return f"{_ADDRESSES[command]}={sockaddr_text(value[:16])}"
    if command in _NUMBERS:
        number = int.from_bytes(value[:4], "little", signed=True)
        return f"{_NUMBERS[command]}={number}"
    if command in (0x8924, 0x8927):
        family = int.from_bytes(value[:2], "little")
        # Hardware addresses of these two kinds are 6 bytes long, the length of others is unknown.
        length = 6 if family in (1, 772) else 7
        shown = ":".join(f"{byte:02x}" for byte in value[2 : 2 + length])
        return f"ifr_hwaddr={{sa_family={_arp(family)}, sa_data={shown}}}"
    start, end, base, irq, dma, port = _MAP[len(data)].unpack_from(value)
    return (
        f"ifr_map={{mem_start={hexadecimal(start)}, mem_end={hexadecimal(end)},"
        f" base_addr={hexadecimal(base)}, irq={hexadecimal(irq)}, dma={hexadecimal(dma)},"
        f" port={hexadecimal(port)}}}"
    )


@captured(32)
def interface_request(
    place: Place, _length: int, data: bytes, args: Args, _memory: Memory, rval: int
) -> str | None:
    """Struct ifreq: the name, and what the command is about once it is known."""
    size = 40 if place.word == 8 else 32
    if len(data) < size:
        return None
    data = data[:size]
    command = args[1] & 0xFFFFFFFF
    name = f"ifr_name={quote(data[:16].partition(bytes(1))[0])}"
    failed = -4096 < rval < 0
    if command == _SIOCGIFNAME:
        number = int.from_bytes(data[16:20], "little", signed=True)
        return f"{{ifr_ifindex={number}}}" if failed else f"{{ifr_ifindex={number}, {name}}}"
    if failed and command not in _SETTERS:
        return f"{{{name}}}"
    return f"{{{name}, {_interface_value(command, data)}}}"


def file_handle(place: Place) -> Render:
    """Struct file_handle: what was asked, what came, and the bytes of it."""
    index, given = place.index, place.direction == IN
    before_key, after_key = key(index, 0, True), key(index, 0)

    def render(args: Args, memory: Memory, rval: int) -> str:
        before, after = None if given else memory.get(before_key), memory.get(after_key)
        held = before or after
        if held is None or len(held[1]) < 8:
            return address(args[index])
        first = int.from_bytes(held[1][:4], "little")
        failed = -4096 < rval < 0
        if given:
            return f"{{handle_bytes={first}, {_handle(held[1])}}}"
        if after is None or len(after[1]) < 8:
            return f"{{handle_bytes={first}}}"
        last = int.from_bytes(after[1][:4], "little")
        changed = f"handle_bytes={first} => {last}" if last != first else f"handle_bytes={first}"
        return f"{{{changed}}}" if failed else f"{{{changed}, {_handle(after[1])}}}"

    return render


def _handle(data: bytes) -> str:
    size, kind = Struct("<Ii").unpack_from(data)
    return f"handle_type={kind}, f_handle={quote_hex(data[8 : 8 + min(size, 128)])}"


@captured(8)
def _landlock_attr(_place: Place, length: int, data: bytes, *_: object) -> str:
    """Struct landlock_ruleset_attr, as much of it as the call was given."""
    table = flag_table("landlock_fs")
    names = table.names if table else ()
    shown = flag_text(int.from_bytes(data[:8], "little"), names, "LANDLOCK_ACCESS_FS_???")
    more = ", ..." if length > 8 else ""
    return f"{{handled_access_fs={shown}{more}}}"


def ambient_capability(place: Place) -> Render:
    """The capability of PR_CAP_AMBIENT, a plain number for the operations that take none."""
    index, capability = place.index, named("capability")

    def render(args: Args, _memory: Memory, _rval: int) -> str:
        value = args[index]
        return capability(value) if 1 <= args[1] <= 3 else hexadecimal(value)

    return render


def mapping_arguments(place: Place) -> Render:
    """The arguments of the mmap of 32-bit x86, which it takes in memory."""
    protection = value_formatter("mmap_prot", place.abi) or hexadecimal
    flags_text = value_formatter("mmap_flags", place.abi) or hexadecimal

    @captured(24)
    def text(_place: Place, _length: int, data: bytes, *_: object) -> str:
        start, length, prot, flags, fd, offset = Struct("<IIIIiI").unpack_from(data)
        return (
            f"{address(start)}, {length}, {protection(prot)}, {flags_text(flags)}, {fd},"
            f" {hexadecimal(offset)}"
        )

    return text(place)


def _futex_waiter(_abi: int) -> tuple[int, Text]:
    packed = Struct("<QQII")
    flags_text = named("futex_waiter")

    def text(data: bytes) -> str:
        value, pointer, flags, reserved = packed.unpack(data)
        more = f", __reserved={reserved:#x}" if reserved else ""
        return (
            f"{{val={hexadecimal(value)}, uaddr={address(pointer)},"
            f" flags={flags_text(flags)}{more}}}"
        )

    return packed.size, text


def _set_of(table: str) -> Format:
    return named(table, mask=0xFFFFFFFFFFFFFFFF)


KINDS: dict[str, Callable[[Place], Render]] = {
    "shmid_set": _wide(_shm_set),
    "shmid_stat": _wide(_shm_stat),
    "msqid_set": _wide(_msg_set),
    "msqid_stat": _wide(_msg_stat),
    "semid_stat": _wide(_sem_stat),
    "ifreq": interface_request,
    "file_handle": file_handle,
    "mmap_args": mapping_arguments,
    "ambient_capability": ambient_capability,
    "mount_attr": one(
        fields(
            Layout("QQQQ"),
            "{attr_set=%s, attr_clr=%s, propagation=%s, userns_fd=%s}",
            _set_of("mount_attr"),
            _set_of("mount_attr"),
            _set_of("mount_flags"),
            str,
        )
    ),
    "xattr_args": one(
        fields(Layout("QII"), "{value=%s, size=%s, flags=%s}", address, str, named("xattr_flags"))
    ),
    "cache_range": one(fields(Layout("QQ"), "{off=%s, len=%s}", str)),
    "cache_state": one(
        fields(
            Layout("QQQQQ"),
            "{nr_cache=%s, nr_dirty=%s, nr_writeback=%s, nr_evicted=%s, nr_recently_evicted=%s}",
            str,
        )
    ),
    "futex_waiters": many(_futex_waiter),
    "fprog": one(fields(Layout("H6xQ", "H2xI"), "{len=%s, filter=%s}", str, address)),
    "kcmp_slot": one(fields(Layout("III"), "{efd=%s, tfd=%s, toff=%s}", str)),
    "landlock_attr": _landlock_attr,
    "landlock_beneath": one(
        fields(Layout("Qi"), "{allowed_access=%s, parent_fd=%s}", _set_of("landlock_fs"), str)
    ),
    "landlock_port": one(
        fields(Layout("QQ"), "{allowed_access=%s, port=%s}", _set_of("landlock_net"), str)
    ),
}
