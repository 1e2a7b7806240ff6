"""Connections into the network namespace of a pod, as kubelet and API server make them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket

_CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class PodNetwork:
    """The network of one pod.

    Args:
        namespace: path of its network namespace; None for a pod on the node's network.
        ip: the pod's address.
    """

    def __init__(self, namespace: str | None, ip: str) -> None:
        self._namespace = namespace
        # The node's address in the recordings is none of this machine.
        self.ip = ip if namespace is not None else "127.0.0.1"

    def socket(self, family: int = socket.AF_INET) -> socket.socket:
        """Returns a TCP socket that belongs to the pod's network (setns(2)).

        Raises:
            OSError: the namespace is gone.
        """
        if self._namespace is None:
            return socket.socket(family, socket.SOCK_STREAM)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(self._namespace, os.O_RDONLY)
            try:
                _enter(there)
                try:
                    return socket.socket(family, socket.SOCK_STREAM)
                finally:
                    _enter(home)
            finally:
                os.close(there)
        finally:
            os.close(home)

    async def dial_loopback(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connects to a port of the pod's loopback, IPv4 first, then IPv6.

        Raises:
            OSError: nobody listens on either; the text is what containerd says.
        """
        problems = []
        for name, family, address in (
            ("4", socket.AF_INET, "127.0.0.1"),
            ("6", socket.AF_INET6, "::1"),
        ):
            made = self.socket(family)
            made.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(made, (address, port))
                return await asyncio.open_connection(sock=made)
            except OSError as error:
                made.close()
                shown = f"[{address}]" if name == "6" else address
                words = os.strerror(error.errno or 0).lower()
                problems.append(f"IPv{name}: dial tcp{name} {shown}:{port}: connect: {words} ")
        raise OSError(
            f'failed to connect to localhost:{port} inside namespace "{self._namespace or "host"}",'
            f" {''.join(problems)}".rstrip()
        )


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
