"""The only caller of ptrace(2) and waitpid(2); errno becomes an error here, once.

Rare requests go through python-ptrace's checked binding. The three that are made at every syscall
stop use `fast_ptrace`, which has no argtypes: declaring them doubles the cost of a call.
"""

from __future__ import annotations

import ctypes
import errno
import importlib
import importlib.util
import os
import signal as signal_module
import sys
import threading
from types import ModuleType
from typing import Any, Callable, NoReturn, Optional, Tuple

from hunter.calls import captures
from hunter.engines import process_memory
from hunter.errors import HunterError, NotPermitted, ProcessGone
from hunter.memory import procfs


class PtraceError(Exception):
    """The error that python-ptrace raises; the same constructor as its own class."""

    def __init__(self, message: str, errno: int | None = None, pid: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno
        self.pid = pid


def _load_binding() -> Any:
    """Imports ptrace.binding.func alone.

    Its package also loads logging and datetime, and finds libc with `find_library`, which may
    start ldconfig or gcc inside the target. CDLL(None) is the libc that is already there.
    """
    spec = importlib.util.find_spec("ptrace")
    if spec is None or spec.submodule_search_locations is None:
        raise HunterError("python-ptrace is not bundled; build hunter.pyz with make zipapp")
    package = ModuleType("ptrace")
    package.__path__ = list(spec.submodule_search_locations)
    package.PtraceError = PtraceError  # type: ignore[attr-defined]
    libc = ModuleType("ptrace.ctypes_libc")
    libc.libc = ctypes.CDLL(None, use_errno=True)  # type: ignore[attr-defined]
    binding = ModuleType("ptrace.binding")
    binding.__path__ = [os.path.join(path, "binding") for path in package.__path__]
    stand_ins = {"ptrace": package, "ptrace.ctypes_libc": libc, "ptrace.binding": binding}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("ptrace.binding.func")
    finally:
        for name in stand_ins:
            del sys.modules[name]


_binding = _load_binding()

PTRACE_SYSCALL: int = _binding.PTRACE_SYSCALL
PTRACE_DETACH: int = _binding.PTRACE_DETACH
PTRACE_CONT: int = _binding.PTRACE_CONT
PTRACE_GETSIGINFO: int = _binding.PTRACE_GETSIGINFO
PTRACE_GETEVENTMSG: int = _binding.PTRACE_GETEVENTMSG
# Not in python-ptrace: see ptrace(2), linux/ptrace.h.
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
PTRACE_GET_SYSCALL_INFO = 0x420E

# TRACESYSGOOD belongs into the SEIZE itself: without it a tracee can die when its tracer is
# killed. EXITKILL is never set. FORK and VFORK only where children must be met before they run.
SEIZE_OPTIONS: int = (
    _binding.PTRACE_O_TRACESYSGOOD | _binding.PTRACE_O_TRACECLONE | _binding.PTRACE_O_TRACEEXEC
)
FORK_OPTIONS: int = _binding.PTRACE_O_TRACEFORK | _binding.PTRACE_O_TRACEVFORK
WAIT_ALL: int = _binding.THREAD_TRACE_FLAGS

# PyDLL keeps the GIL: the request never blocks, and giving the GIL away would cost more.
fast_ptrace = ctypes.PyDLL(None).ptrace

SIGINFO_SIZE = 128


def _failed(error: PtraceError, what: str) -> NoReturn:
    if error.errno == errno.ESRCH:
        raise ProcessGone(f"{what}: no such thread") from error
    if error.errno in (errno.EPERM, errno.EACCES):
        raise NotPermitted(f"{what}: {os.strerror(error.errno)}") from error
    raise HunterError(f"{what}: {os.strerror(error.errno or 0)}") from error


def _request(what: str, command: int, tid: int, arg1: int = 0, arg2: int = 0) -> None:
    try:
        _binding.ptrace(command, tid, arg1, arg2)
    except PtraceError as error:
        _failed(error, f"{what} {tid}")


def seize(tid: int, options: int = SEIZE_OPTIONS) -> None:
    """Makes the calling thread the tracer of a thread, without stopping it.

    Args:
        tid: the thread.
        options: PTRACE_O_ bits, set in the same call.

    Raises:
        ProcessGone: no such thread.
        NotPermitted: EPERM: rights are missing or it has a tracer already.
    """
    _request("PTRACE_SEIZE", PTRACE_SEIZE, tid, 0, options)


def interrupt(tid: int) -> None:
    """Asks a seized thread to stop; a PTRACE_EVENT_STOP follows.

    Raises:
        ProcessGone: no such tracee.
    """
    _request("PTRACE_INTERRUPT", PTRACE_INTERRUPT, tid)


def listen(tid: int) -> None:
    """Leaves a group-stopped thread stopped, yet able to report SIGCONT.

    Raises:
        ProcessGone: it is not stopped any more.
    """
    _request("PTRACE_LISTEN", PTRACE_LISTEN, tid)


def resume(tid: int, signal: int = 0) -> None:
    """Lets a stopped thread run to its next syscall stop.

    Args:
        tid: a stopped tracee.
        signal: signal to deliver, 0 for none.

    Raises:
        ProcessGone: it was killed meanwhile.
    """
    _request("PTRACE_SYSCALL", PTRACE_SYSCALL, tid, 0, signal)


def detach(tid: int, signal: int = 0) -> None:
    """Lets a stopped thread go.

    Args:
        tid: a stopped tracee.
        signal: signal to deliver, 0 for none.

    Raises:
        ProcessGone: it was killed meanwhile, or runs.
    """
    _request("PTRACE_DETACH", PTRACE_DETACH, tid, 0, signal)


def event_message(tid: int) -> int:
    """Returns PTRACE_GETEVENTMSG: new tid, or former tid after execve.

    Raises:
        ProcessGone: it is not stopped any more.
    """
    message = ctypes.c_ulong()
    _request("PTRACE_GETEVENTMSG", PTRACE_GETEVENTMSG, tid, 0, ctypes.addressof(message))
    return message.value


def siginfo(tid: int) -> bytes:
    """Returns the siginfo_t of a signal-delivery-stop.

    Raises:
        ProcessGone: it is not stopped any more.
    """
    buffer = ctypes.create_string_buffer(SIGINFO_SIZE)
    _request("PTRACE_GETSIGINFO", PTRACE_GETSIGINFO, tid, 0, ctypes.addressof(buffer))
    return buffer.raw


def wait(tid: int = -1) -> Tuple[int, int]:
    """Waits for the next stop or end of a tracee.

    Returns:
        Its tid and wait status.

    Raises:
        ChildProcessError: there is no tracee.
    """
    return os.waitpid(tid, WAIT_ALL)


def syscalls_are_allowed() -> str:
    """Says what forbids ptrace(2) as a whole, before anything is touched.

    Returns:
        Empty when a request about a thread that cannot exist fails with ESRCH as it should, else
        the text of its errno (a seccomp profile answers EPERM or ENOSYS instead).
    """
    try:
        seize(1 << 23)
    except ProcessGone:
        return ""
    except HunterError as error:
        return str(error.__cause__ and os.strerror(getattr(error.__cause__, "errno", 0) or 0))
    return ""


_peek = ctypes.CDLL(None, use_errno=True).ptrace
_peek.restype = ctypes.c_long
_peek.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
_PTRACE_PEEKDATA = 2
_WORD = ctypes.sizeof(ctypes.c_long)
MAX_PEEK = 4096
"""Bytes at most: each word is a system call in the target's stop."""


def peek(tid: int, address: int, length: int) -> bytes:
    """Reads memory of a stopped thread word by word, where /proc/PID/mem cannot be opened.

    Args:
        tid: a stopped tracee.
        address: in its memory.
        length: bytes, of which no more than `MAX_PEEK` are read.

    Returns:
        What can be read up to the first word that cannot.

    Raises:
        OSError: there is nothing to be read at the address.
    """
    length = min(length, MAX_PEEK)
    start = address - address % _WORD
    data = bytearray()
    for at in range(start, address + length, _WORD):
        ctypes.set_errno(0)
        word = _peek(_PTRACE_PEEKDATA, tid, at & 0xFFFFFFFFFFFFFFFF, None)
        error = ctypes.get_errno()
        if error:
            if len(data) > address - start:
                break
            raise OSError(error, os.strerror(error))
        data += word.to_bytes(_WORD, sys.byteorder, signed=True)
    return bytes(data[address - start : address - start + length])


class Kernel:
    """The kernel as far as a tracer asks it; a test has a kernel of its own.

    Requests of ptrace(2), waits, memory and signals, and what /proc tells of tracees. Errors are
    those of the functions of the same name.
    """

    seize = staticmethod(seize)
    interrupt = staticmethod(interrupt)
    listen = staticmethod(listen)
    resume = staticmethod(resume)
    detach = staticmethod(detach)
    event_message = staticmethod(event_message)
    siginfo = staticmethod(siginfo)
    wait = staticmethod(wait)
    peek = staticmethod(peek)
    fast_ptrace = staticmethod(fast_ptrace)
    waitpid = staticmethod(os.waitpid)

    open_memory = staticmethod(process_memory.open_within_limit)
    pread = staticmethod(os.pread)
    close = staticmethod(os.close)

    stat = staticmethod(procfs.stat)
    status_fields = staticmethod(procfs.status_fields)
    thread_ids = staticmethod(procfs.thread_ids)
    read_text = staticmethod(procfs.read_text)
    readlink = staticmethod(os.readlink)

    @staticmethod
    def set_handler(handler: Callable[[], None]) -> None:
        """Has a function called in the main thread at each `notify` of it."""
        signal_module.signal(signal_module.SIGUSR1, lambda *_: handler())

    @staticmethod
    def notify(thread: int) -> None:
        """Interrupts what a thread of hunter waits in.

        Args:
            thread: as `threading.get_ident` gave it; one that has ended is a crash.
        """
        signal_module.pthread_kill(thread, signal_module.SIGUSR1)

    @staticmethod
    def wait_for(event: threading.Event) -> None:
        """Waits until an event is set, and clears it."""
        event.wait()
        event.clear()

    def reader(self, memory: int, tid: int) -> captures.Read:
        """Returns what reads the memory of a process.

        Args:
            memory: descriptor of /proc/PID/mem, -1 to read word by word.
            tid: a thread of it that is stopped, 0 when none is known to be.
        """

        def read(address: int, length: int) -> Optional[bytes]:
            try:
                if memory < 0 and tid:
                    return self.peek(tid, address, length)
                return self.pread(memory, length, address)
            except (OSError, OverflowError):
                return None

        return read
