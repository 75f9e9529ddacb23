"""What sockets alone come to, for benchmarks/client: SOURCE OUT URL AT_ONCE. Nothing is checked, kept or tried again."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit


class Socket(asyncio.Protocol):
    """Bytes out, and back as many as the head says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.come = b""

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.answer

    def data_received(self, data: bytes) -> None:
        self.come += data
        head = self.come.find(b"\r\n\r\n") + 4
        if head > 3 and len(self.come) >= head + int(self.come[:head].partition(b"Content-Length: ")[2].split()[0]):
            self.answer.set_result(self.come[head:])
            self.come = b""


async def main(source: str, url: str, at_once: int) -> None:
    loop, place = asyncio.get_running_loop(), urlsplit(url)
    with Path(source).open(encoding="utf-8") as lines:

        async def work() -> None:
            _, socket = await loop.create_connection(Socket, place.hostname, place.port)
            for line in lines:
                messages = [{"role": "user", "content": f"Rewrite this text:\n\n{json.loads(line)['text']}"}]
                asked = {"model": "fake", "messages": messages, "max_tokens": 2048, "temperature": 0.8, "seed": 1}
                body = json.dumps(asked).encode()
                head = f"POST {place.path}/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(body)}"
                json.loads(await socket.ask(head.encode() + b"\r\n\r\n" + body))
            socket.transport.close()

        await asyncio.gather(*(work() for _ in range(at_once)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[3], int(sys.argv[4])))
