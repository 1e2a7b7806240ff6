"""An event loop: asyncio over epoll, timers and a pair of sockets."""

import asyncio
import sys


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(*served, local_addr=("127.0.0.1", 4001))
    writer.write(b"question")
    await writer.drain()
    await reader.read(100)
    writer.close()
    await writer.wait_closed()
    loop.call_soon(lambda: None)
    await asyncio.sleep(0)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"answer")
    await writer.drain()
    writer.close()


async def serve() -> None:
    server = await asyncio.start_server(answer, *served)
    async with server:
        await main()


served = ("127.0.0.1", 4000)
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(serve())
