"""Containers by runc: the only caller of the program.

Processes are started detached, as containerd does it: runc leaves as soon as the process runs,
which then is a child of this process, because this process is a subreaper (prctl(2)).
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

_PR_SET_CHILD_SUBREAPER = 36
# In the order of linux/capability.h.
_CAPABILITIES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITY_BITS = {f"CAP_{name}": bit for bit, name in enumerate(_CAPABILITIES.split())}


class RuncError(Exception):
    """runc could not do it; the text is runc's own."""


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process, so that it can wait for them."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def own_capabilities() -> frozenset[str]:
    """Returns the capabilities in the bounding set of this process: runc can give no others."""
    status = Path("/proc/self/status").read_text()
    bits = int(status.split("CapBnd:\t", 1)[1].split("\n", 1)[0], 16)
    return frozenset(name for name, bit in CAPABILITY_BITS.items() if bits >> bit & 1)


class Child:
    """A process runc has left to us."""

    waited_for: ClassVar[set[int]] = set()
    """Pids somebody waits for; all other children are orphans."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.waited_for.add(pid)
        self._exit_code = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._exited)

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        _, status = os.waitpid(self.pid, 0)
        self.waited_for.discard(self.pid)
        code = os.waitstatus_to_exitcode(status)
        if not self._exit_code.done():
            self._exit_code.set_result(code if code >= 0 else 128 - code)

    async def wait(self) -> int:
        """Returns the exit code; 128 + n after signal n."""
        return await asyncio.shield(self._exit_code)


class Runc:
    """runc with a state directory of its own."""

    def __init__(self, state: Path, scratch: Path) -> None:
        """Takes the two directories it may use.

        Args:
            state: ``--root`` of runc.
            scratch: for bundles, pid files and logs.
        """
        self.state = state
        self._scratch = scratch
        self._count = 0

    async def run(
        self, container_id: str, config: dict[str, Any], stdin: int, stdout: int, stderr: int
    ) -> Child:
        """Starts a container; the descriptors stay the caller's.

        Raises:
            RuncError: it did not start.
        """
        bundle = self._scratch / container_id
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(config))
        arguments = ["run", "--detach", "--bundle", str(bundle)]
        return await self._start(arguments, container_id, (stdin, stdout, stderr))

    async def execute(
        self,
        container_id: str,
        process: dict[str, Any],
        stdin: int,
        stdout: int,
        stderr: int,
        console_socket: Path | None = None,
    ) -> Child:
        """Starts one more process in a running container.

        Args:
            console_socket: where runc sends the terminal when ``process`` wants one.

        Raises:
            RuncError: it did not start.
        """
        self._count += 1
        specification = self._scratch / f"exec-{self._count}.json"
        specification.write_text(json.dumps(process))
        arguments = ["exec", "--detach", "--process", str(specification)]
        if console_socket is not None:
            arguments += ["--tty", "--console-socket", str(console_socket)]
        try:
            return await self._start(arguments, container_id, (stdin, stdout, stderr))
        finally:
            specification.unlink()

    async def kill(self, container_id: str, number: int) -> None:
        """Sends a signal to the first process of a container; a dead one is no error."""
        await self._call("kill", container_id, str(number))

    async def delete(self, container_id: str) -> None:
        """Kills what is left of a container and removes its cgroup."""
        await self._call("delete", "--force", container_id)
        shutil.rmtree(self._scratch / container_id, ignore_errors=True)

    async def _call(self, *arguments: str) -> int:
        process = await asyncio.create_subprocess_exec(
            "runc",
            "--root",
            str(self.state),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait()

    async def _start(
        self,
        arguments: list[str],
        container_id: str,
        streams: tuple[int, int, int],
    ) -> Child:
        self._count += 1
        log = self._scratch / f"runc-{self._count}.log"
        pid_file = self._scratch / f"runc-{self._count}.pid"
        process = await asyncio.create_subprocess_exec(
            "runc",
            "--root",
            str(self.state),
            "--log",
            str(log),
            "--log-format",
            "json",
            *arguments,
            "--pid-file",
            str(pid_file),
            container_id,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            # A signal for the server, as Ctrl-C on its terminal, is not one for the containers.
            start_new_session=True,
        )
        try:
            if await process.wait() != 0:
                raise RuncError(_last_error(log))
            return Child(int(pid_file.read_text()))
        finally:
            log.unlink(missing_ok=True)
            pid_file.unlink(missing_ok=True)


def _last_error(log: Path) -> str:
    lines = log.read_text().splitlines() if log.exists() else []
    for line in reversed(lines):
        entry = json.loads(line)
        if entry.get("level") in ("error", "fatal"):
            return str(entry["msg"])
    return "runc failed without a message"
