"""Kept connections to one server, as many as are asked at once; through a proxy where the environment names one."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from recension.errors import ModelError
from recension.models.endpoint import in_words
from recension.models.wire import Answered, BrokenWireError, Wire

IDLE = 4.0  # seconds after which a wire is not asked again: uvicorn closes after 5, and asking then is in vain
KNOWN = 60.0  # seconds that the addresses of a name are believed
CONNECTING = 30.0
_ROOM = 1 << 16
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Way:
    """Where to connect to, and what is done there."""

    host: str
    port: int
    secure: bool
    tunnel: bytes  # asks a proxy for the server; empty where there is none, or where it passes requests on
    target: str  # before the path of a request
    headers: str  # for the proxy

    @classmethod
    def to(cls, url: str) -> Way:
        to = _parts(url)
        place = to.hostname or ""
        secure, port = to.scheme == "https", to.port or _PORTS[to.scheme]
        proxy = None if proxy_bypass(to.netloc.rpartition("@")[2]) else getproxies().get(to.scheme)
        if not proxy:
            return cls(place, port, secure, b"", "", "")
        by = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if by.scheme != "http" or not by.hostname:
            raise ModelError(f"the proxy for {url} is none that is reached by http; set NO_PROXY to go without it")
        known = f"{unquote(by.username)}:{unquote(by.password or '')}" if by.username else ""
        headers = f"Proxy-Authorization: Basic {b64encode(known.encode()).decode()}\r\n" if known else ""
        end = f"[{place}]:{port}" if ":" in place else f"{place}:{port}"
        if secure:
            tunnel = f"CONNECT {end} HTTP/1.1\r\nHost: {end}\r\n{headers}\r\n".encode()
            return cls(by.hostname, by.port or 80, True, tunnel, "", "")
        return cls(by.hostname, by.port or 80, False, b"", f"http://{to.netloc.rpartition('@')[2]}", headers)


class Wires:
    """Posts to one address. The wire that was used last is used first, so those that are too many fall out of use."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float, largest: int) -> None:
        to = _parts(url)
        self._url = url
        self._name = to.hostname or ""
        self._way = Way.to(url)
        path = f"{self._way.target}{to.path or '/'}{'?' + to.query if to.query else ''}"
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        lines = 2 + len(headers) + bool(self._way.headers)
        head = f"POST {path} HTTP/1.1\r\nHost: {to.netloc.rpartition('@')[2]}\r\n{told}{self._way.headers}"
        if not (head.isascii() and head.replace("\r\n", "").isprintable()) or head.count("\r\n") != lines:
            raise ModelError(
                f"{url}: the address and the key are of plain letters and signs, without spaces or line ends"
            )
        self._head = head.encode()
        self._timeout = timeout
        self._largest = largest
        self._secured = ssl.create_default_context() if self._way.secure else None
        self._room = bytearray(_ROOM)
        self._idle: list[Wire] = []
        self._asked: set[Wire] = set()
        self._retired = False
        self._addresses: list[str] = []
        self._looked_up = float("-inf")
        self._looking = asyncio.Lock()

    async def post(self, name: str, body: bytes, ended: Callable[[], None] | None = None) -> Answered:
        """The answer; TimeoutError, OSError or BrokenWireError where none came, ModelError where none ever will."""
        began = time.monotonic()
        wire = self._free() or await self._connected()
        self._asked.add(wire)
        told = b"Idempotency-Key: %s\r\nContent-Length: %d\r\n\r\n" % (name.encode(), len(body))
        left = self._timeout - (time.monotonic() - began)
        try:
            return await wire.ask(b"".join((self._head, told, body)), left, ended=ended)
        except asyncio.CancelledError:
            wire.close()
            raise
        finally:
            self._asked.discard(wire)
            if wire.free and not self._retired:
                wire.since = time.monotonic()
                self._idle.append(wire)
            elif wire.free:
                wire.close()

    def retire(self) -> None:
        """Keep no wire any more; answers under way are waited for."""
        self._retired = True
        for wire in self._idle:
            wire.close()
        self._idle.clear()

    async def close(self) -> None:
        self.retire()
        for wire in self._asked:
            wire.close()
        await asyncio.sleep(0)  # sockets are closed in the next turn

    def _free(self) -> Wire | None:
        oldest = time.monotonic() - IDLE
        while self._idle:
            wire = self._idle.pop()
            if wire.free and wire.since > oldest:
                return wire
            wire.close()
        return None

    async def _connected(self) -> Wire:
        """A new wire, of the first address of the server that takes one."""
        try:
            async with asyncio.timeout(min(CONNECTING, self._timeout)):
                return await self._secured_wire() if self._secured else await self._plain_wire()
        except TimeoutError:
            if self._timeout > CONNECTING:
                raise BrokenWireError(f"no connection within {CONNECTING:g} s") from None
            raise
        except ssl.SSLCertVerificationError:
            raise ModelError(f"the certificate of {self._url} is not valid") from None
        except ssl.SSLError as error:
            raise ModelError(f"{self._url} does not speak TLS as we know it ({error.reason or error})") from None

    async def _plain_wire(self) -> Wire:
        loop = asyncio.get_running_loop()
        async with self._looking:
            addresses = await self._found()
        trouble = f"no address for {self._way.host}"
        for address in list(addresses):
            addresses.append(addresses.pop(0))  # the next wire goes to the next of several servers of a name
            try:
                _, wire = await loop.create_connection(
                    lambda: Wire(loop, self._largest, self._room), address, self._way.port
                )
            except OSError as error:
                trouble = in_words(error)
                if len(addresses) > 1 and address in addresses:
                    addresses.remove(address)
            else:
                return wire
        self._looked_up = float("-inf")  # it may stand elsewhere by now
        raise BrokenWireError(trouble)

    async def _secured_wire(self) -> Wire:
        loop = asyncio.get_running_loop()
        below = await self._plain_wire()
        wire = Wire(loop, self._largest, self._room)
        try:
            if self._way.tunnel:
                opened = await below.ask(self._way.tunnel, self._timeout, bare=True)
                if opened.status != 200:
                    raise BrokenWireError(f"the proxy answers {opened.status}")
            transport = await loop.start_tls(below.transport, wire, self._secured, server_hostname=self._name)  # type: ignore[arg-type]
        except (OSError, BrokenWireError, asyncio.CancelledError):
            below.close()
            raise
        wire.connection_made(transport)  # type: ignore[arg-type]
        return wire

    async def _found(self) -> list[str]:
        now = time.monotonic()
        if not self._addresses or now - self._looked_up > KNOWN:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._way.host, self._way.port, type=socket.SOCK_STREAM
            )
            self._addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
            self._looked_up = now
        return self._addresses


def _parts(url: str) -> SplitResult:
    """The parts of an address that somebody gave."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in _PORTS and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise ModelError(f"{url} is no address of a server: write http://HOST:PORT/v1")
    return parts
