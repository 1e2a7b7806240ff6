"""A TCP proxy that fails as networks do: it cuts anywhere, delays, throttles, and swallows.

It reorders nothing and alters nothing. What it does to a connection is a `Fault`; a list of them
is drawn from a seed, so that a seed reproduces a run.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

CHUNK = 1 << 16


@dataclass(frozen=True)
class Fault:
    """What becomes of one connection.

    Attributes:
        kind: `close` (FIN), `reset` (RST), `hole`: nothing passes any more, nobody is told, or
            `half`: nothing comes from the server any more, what goes to it passes.
        size: bytes from the server that still pass, cut at any byte.
        seconds: until it strikes although fewer have passed.
        refused: connections after it that are refused.
        delay: seconds that each chunk is held back.
        rate: bytes a second from the server, 0 for all.
    """

    kind: str
    size: int
    seconds: float
    refused: int = 0
    delay: float = 0.0
    rate: int = 0

    @classmethod
    def draw(cls, random: Random, holes: bool = True) -> Fault:
        """Returns a fault.

        Args:
            random: where it comes from.
            holes: whether it may be one that nobody is told of, which costs seconds.
        """
        silent = holes and random.random() < 0.08
        kind = random.choice(("hole", "half")) if silent else random.choice(("close", "reset"))
        return cls(
            kind,
            int(10 ** random.uniform(0, 5.3)),
            random.uniform(0.05, 1.0),
            random.choice((0, 0, 0, 1, 2)),
            random.choice((0.0, 0.0, 0.001, 0.02)),
            random.choice((0, 0, 0, 50_000, 400_000)),
        )

    @property
    def silent(self) -> bool:
        """Whether nobody is told."""
        return self.kind in ("hole", "half")

    def __str__(self) -> str:
        parts = [self.kind, f"{self.size} B or {self.seconds:.2f} s"]
        parts += [f"refuse {self.refused}"] if self.refused else []
        parts += [f"delay {self.delay * 1000:g} ms"] if self.delay else []
        parts += [f"{self.rate // 1000} kB/s"] if self.rate else []
        return " ".join(parts)


class _Connection:
    """One client and the server behind it."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.fault: Fault | None = None
        self.left = 0
        self.struck = asyncio.Event()
        self.moved_at = asyncio.get_running_loop().time()

    def swallows(self, down: bool) -> bool:
        """Whether bytes in this direction get lost by now."""
        fault = self.fault
        if fault is None or not fault.silent or not self.struck.is_set():
            return False
        return down or fault.kind == "hole"

    def plan(self, fault: Fault) -> None:
        self.fault, self.left = fault, fault.size
        asyncio.get_running_loop().call_later(fault.seconds, self.struck.set)

    def end(self, kind: str) -> None:
        for writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            if kind == "reset" and sock is not None and sock.fileno() >= 0:
                linger = struct.pack("ii", 1, 0)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()


class FaultyProxy:
    """Passes connections on to a server, as long as it pleases.

    Args:
        host: of the server.
        port: of the server.
        rate: bytes a second from the server over each connection, 0 for all.
        idle: seconds without a byte after which a connection is cut, 0 for never.

    Attributes:
        port: where it listens, once started.
        struck: faults that happened.
        bytes: passed from the server.
        refusing: whether new connections are refused.
    """

    def __init__(self, host: str, port: int, rate: int = 0, idle: float = 0.0) -> None:
        self.port = 0
        self.struck = 0
        self.bytes = 0
        self.refusing = False
        self._upstream = (host, port)
        self._rate = rate
        self._idle = idle
        self._faults: deque[Fault] = deque()
        self._refuse = 0
        self._connections: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    def arm(self, faults: Iterable[Fault]) -> None:
        """Has the newest connection suffer the first fault, and later ones the others.

        Args:
            faults: in the order in which connections suffer them.
        """
        self._faults.extend(faults)
        if self._connections and self._connections[-1].fault is None and self._faults:
            self._connections[-1].plan(self._faults.popleft())

    def strike(self, kind: str = "reset") -> None:
        """Ends every connection now."""
        for connection in list(self._connections):
            connection.end(kind)

    async def aclose(self) -> None:
        """Ends everything."""
        self._server.close()
        self.strike()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing or self._refuse:
            self._refuse = max(self._refuse - 1, 0)
            return
        back, forth = await asyncio.open_connection(sock=await self._connect(), limit=CHUNK)
        connection = _Connection(writer, forth)
        self._connections.append(connection)
        if self._faults:
            connection.plan(self._faults.popleft())
        pumps = [
            asyncio.ensure_future(self._pump(reader, forth, connection, False)),
            asyncio.ensure_future(self._pump(back, writer, connection, True)),
        ]
        watches = [asyncio.ensure_future(self._strike(connection))]
        if self._idle:
            watches.append(asyncio.ensure_future(self._cut_when_idle(connection)))
        try:
            await asyncio.wait((*pumps, *watches), return_when=asyncio.FIRST_COMPLETED)
        finally:
            hit = connection.fault if connection.struck.is_set() else None
            if hit is not None:
                self.struck += 1
                self._refuse += hit.refused
            for task in (*pumps, *watches):
                task.cancel()
            await asyncio.gather(*pumps, *watches, return_exceptions=True)
            connection.end(hit.kind if hit is not None else "close")
            self._connections.remove(connection)

    async def _connect(self) -> socket.socket:
        """Returns a connection to the server; behind a slow one little is kept."""
        upstream = socket.socket()
        upstream.setblocking(False)
        if self._rate:
            upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        try:
            await asyncio.get_running_loop().sock_connect(upstream, self._upstream)
        except BaseException:
            upstream.close()
            raise
        return upstream

    async def _strike(self, connection: _Connection) -> None:
        await connection.struck.wait()
        if connection.fault is not None and connection.fault.silent:
            # It goes on like this until the client gives up.
            await asyncio.Future()

    async def _cut_when_idle(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        while (left := connection.moved_at + self._idle - loop.time()) > 0:
            await asyncio.sleep(left)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: _Connection,
        down: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            fault = connection.fault
            rate = (fault.rate if fault is not None else 0) or self._rate
            data = await reader.read(max(rate // 20, 1) if down and rate else CHUNK)
            connection.moved_at = loop.time()
            if not data:
                return
            fault = connection.fault
            if fault is not None:
                if connection.swallows(down):
                    await asyncio.Future()
                await asyncio.sleep(fault.delay)
                if down:
                    data = data[: connection.left]
                    connection.left -= len(data)
            if down and rate:
                due = max(due, loop.time()) + len(data) / rate
                await asyncio.sleep(due - loop.time())
            writer.write(data)
            self.bytes += len(data) if down else 0
            await writer.drain()
            if down and fault is not None and connection.left <= 0:
                connection.struck.set()
