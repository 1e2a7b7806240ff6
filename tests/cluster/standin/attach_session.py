"""One attach: a client at the streams of a container's first process."""

from __future__ import annotations

import asyncio

from tests.cluster.standin import status
from tests.cluster.standin.attachment import Attachment
from tests.cluster.standin.exec_channels import ERROR, STDERR, STDIN, STDOUT, HalfClose
from tests.cluster.standin.exec_request import ExecRequest
from tests.cluster.standin.exec_session import ExecTransport


class AttachSession:
    """Connects one client until it leaves or the process ends."""

    def __init__(
        self, attachment: Attachment, request: ExecRequest, transport: ExecTransport
    ) -> None:
        self._attachment = attachment
        self._request = request
        self._transport = transport

    async def run(self) -> None:
        """Carries the streams; the end of the process is always a success (there is no code)."""
        outputs = [
            (name, channel)
            for name, channel, wanted in (
                ("stdout", STDOUT, self._request.stdout),
                ("stderr", STDERR, self._request.stderr),
            )
            if wanted
        ]
        feeding = asyncio.create_task(self._feed())
        pumps = [asyncio.create_task(self._pump(*output)) for output in outputs]
        ended = asyncio.ensure_future(asyncio.shield(self._attachment.ended))
        await asyncio.wait({feeding, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            await asyncio.gather(*pumps)
            try:
                await self._transport.send(ERROR, status.exec_success())
            except ConnectionError:
                pass
        for task in (feeding, ended, *pumps):
            task.cancel()
        await asyncio.gather(feeding, ended, *pumps, return_exceptions=True)

    async def _feed(self) -> None:
        """Carries stdin until the client leaves."""
        try:
            async for message in self._transport.receive():
                if message.channel != STDIN or not self._request.stdin:
                    continue
                if isinstance(message, HalfClose):
                    self._attachment.client_left()
                else:
                    await self._attachment.write(message.payload)
        finally:
            if self._request.stdin:
                self._attachment.client_left()

    async def _pump(self, stream: str, channel: int) -> None:
        queue = self._attachment.listen(stream)
        try:
            while data := await queue.get():
                await self._transport.send(channel, data)
            await self._transport.end_channel(channel)
        except ConnectionError:
            pass
        finally:
            self._attachment.leave(stream, queue)
