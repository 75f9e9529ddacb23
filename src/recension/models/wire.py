"""HTTP/1.1 on one connection: a request goes out in one piece, its answer comes back whole.

What a general client does beside that (redirects, cookies, sessions, streams) costs several times what asking costs.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

HEAD = 1 << 16  # bytes of a status line with its headers
_ROOM = 1 << 16
_CODED = {b"gzip": 47, b"x-gzip": 47, b"deflate": 47}  # 47: with the head of gzip or of zlib, whichever is there
_STRANGE = "an answer that is no HTTP"


class BrokenWireError(Exception):
    """An answer that did not come, in few words and always the same ones, since they are counted."""


class Answered(NamedTuple):
    """A status with its headers, by names in lower case; `body` is None where it is larger than it may be.

    `seconds` are from the request's leaving to the answer's coming: neither connecting nor waiting for our own turn is in them.
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes | None
    seconds: float


class Wire(asyncio.BufferedProtocol):
    """One connection. `free` while it may be asked; what comes unasked closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, largest: int, room: bytearray) -> None:
        self.free = False
        self.since = 0.0  # when it became free
        self.transport: asyncio.Transport
        self._loop = loop
        self._largest = largest
        self._room = memoryview(room)
        self._asking: asyncio.Future[Answered] | None = None
        self._late: asyncio.TimerHandle | None = None
        self._bare = False
        self._sent = 0.0
        self._ended: Callable[[], None] | None = None
        self._head = b""  # as much of it as is here
        self._body: _Body | None = None

    def ask(
        self, request: bytes, seconds: float, bare: bool = False, ended: Callable[[], None] | None = None
    ) -> asyncio.Future[Answered]:
        """The answer; TimeoutError after so many seconds. `bare` where nothing follows a head that says yes: after CONNECT.

        `ended` is called once the answer is here or will not come, behind all who wait for it and in the same round of the
        loop, so that the next request goes out before anything is made of this one.
        """
        self.free, self._bare, self._ended = False, bare, ended
        self._asking = asking = self._loop.create_future()
        self._late = self._loop.call_later(seconds, self._too_late)
        self._sent = self._loop.time()
        self.transport.write(request)
        return asking

    def close(self) -> None:
        self.free = False
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.free = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room  # shared by all wires of a loop: it is read before anything else can be received

    def buffer_updated(self, nbytes: int) -> None:
        if self._asking is None:
            self.close()
            return
        came = bytes(self._room[:nbytes])
        try:
            if self._body is None:
                came = self._begun(came)
            if self._body is not None:
                self._body.add(came)
                if self._body.whole:
                    self._end()
        except BrokenWireError as error:
            self._fail(error)

    def eof_received(self) -> bool:
        if self._body is not None and self._body.until_end:
            self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.free = False
        if self._asking is not None:
            in_part = "an answer that was cut off" if self._head or self._body else "the server closed the connection"
            self._fail(exc if isinstance(exc, OSError) else BrokenWireError(in_part))

    def _begun(self, came: bytes) -> bytes:
        """Read the head, once it is there; returns what came behind it."""
        while True:
            seen = self._head + came if self._head else came
            end = seen.find(b"\r\n\r\n")
            if end < 0:
                if len(seen) > HEAD:
                    raise BrokenWireError(_STRANGE)
                self._head = seen
                return b""
            self._head = b""
            lines = seen[:end].split(b"\r\n")
            came = seen[end + 4 :]
            status, old = _status(lines[0])
            if status >= 200:
                break
            if status == 101:
                raise BrokenWireError(_STRANGE)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        if self._bare and status < 300:
            headers, old = {b"content-length": b"0"}, False
        self._body = _Body(status, headers, old, self._largest)
        return came

    def _end(self) -> None:
        """Hand over the answer; the wire is free again where nothing speaks against it."""
        body = self._body
        assert body is not None
        try:
            answered, last = Answered(body.status, body.headers, body.read(), self._loop.time() - self._sent), body.last
        except BrokenWireError as error:
            self._fail(error)
            return
        asking = self._let_go()
        if last:
            self.close()
        else:
            self.free = True
        if asking is not None and not asking.done():
            asking.set_result(answered)
        self._tell()

    def _fail(self, error: Exception) -> None:
        asking = self._let_go()
        self.close()
        if asking is not None and not asking.done():
            asking.set_exception(error)
        self._tell()

    def _tell(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended()

    def _too_late(self) -> None:
        self._fail(TimeoutError())

    def _let_go(self) -> asyncio.Future[Answered] | None:
        asking, self._asking, self._body, self._head = self._asking, None, None, b""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        return asking


class _Body:
    """What follows a head: of a length that was told, in chunks, or up to the end of the connection.

    `last` where the connection is not to be asked again after it.
    """

    def __init__(self, status: int, headers: Mapping[bytes, bytes], old: bool, largest: int) -> None:
        self.status = status
        self.headers = headers
        self.whole = False
        self._parts: list[bytes] = []
        self._size = 0
        self._largest = largest
        self._wanted = -1
        self._chunks: _Chunks | None = None
        length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise BrokenWireError(_STRANGE)
            self._chunks = _Chunks()
        elif status in (204, 304):
            self._wanted = 0
        elif length is not None:
            if not length.isdigit():
                raise BrokenWireError(_STRANGE)
            self._wanted = int(length)
        self.until_end = self._chunks is None and self._wanted < 0
        says = headers.get(b"connection", b"").lower()
        self.last = self.until_end or b"close" in says or (old and b"keep-alive" not in says)

    def add(self, came: bytes) -> None:
        if self._chunks is not None:
            came = self._chunks.read(came)
            self.whole = self._chunks.ended
            self.last |= bool(self._chunks.ended and self._chunks.left)
        self._size += len(came)
        if 0 <= self._wanted <= self._size:
            self.whole = True
            if self._size > self._wanted:  # an answer that was sent twice, or one to nobody: the wire is out of step
                came = came[: len(came) - (self._size - self._wanted)]
                self.last = True
        if self._size > self._largest or self._wanted > self._largest:
            self.whole = self.last = True
            self._size, self._parts, came = self._largest + 1, [], b""
        self._parts.append(came)

    def read(self) -> bytes | None:
        """The body as it was meant; None where it is larger than it may be."""
        if self._size > self._largest:
            return None
        whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        coding = self.headers.get(b"content-encoding", b"identity").lower()
        if coding in (b"identity", b"") or not whole:
            return whole
        if coding not in _CODED:
            raise BrokenWireError("an answer in a coding that was not asked for")
        unpacking = zlib.decompressobj(_CODED[coding])
        try:
            plain = unpacking.decompress(whole, self._largest + 1)
        except zlib.error:
            raise BrokenWireError(_STRANGE) from None
        return plain if len(plain) <= self._largest else None


class _Chunks:
    """Takes the lengths out of a chunked body."""

    def __init__(self) -> None:
        self.ended = False
        self.left = b""  # not understood yet; after the end, what does not belong to the body
        self._in_chunk = 0  # bytes that are still to come of this chunk, with the line end behind it
        self._trailing = False

    def read(self, came: bytes) -> bytes:
        left, parts = self.left + came if self.left else came, []
        while left and not self.ended:
            if self._in_chunk:
                text = left[: max(self._in_chunk - 2, 0)]
                taken = min(self._in_chunk, len(left))
                parts.append(text)
                self._in_chunk -= taken
                left = left[taken:]
                continue
            line, found, rest = left.partition(b"\r\n")
            if not found:
                if len(left) > HEAD:
                    raise BrokenWireError(_STRANGE)
                break
            left = rest
            if self._trailing:
                self.ended = not line
                continue
            try:
                size = int(line.partition(b";")[0], 16)
            except ValueError:
                raise BrokenWireError(_STRANGE) from None
            if size < 0:
                raise BrokenWireError(_STRANGE)
            self._trailing = size == 0
            self._in_chunk = size + 2 if size else 0
        self.left = left
        return b"".join(parts)


def _status(line: bytes) -> tuple[int, bool]:
    """The status, and whether the server speaks HTTP/1.0."""
    version, _, rest = line.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not rest[:3].isdigit():
        raise BrokenWireError(_STRANGE)
    return int(rest[:3]), version == b"HTTP/1.0"
