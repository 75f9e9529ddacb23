"""HTTP on our own connections, against servers that say byte for byte what a test wants."""

from __future__ import annotations

import asyncio
import gzip
import shutil
import ssl
import subprocess
from dataclasses import dataclass, field

import pytest

from recension.errors import ModelError
from recension.models.wire import Answered, BrokenWireError
from recension.models.wires import Way, Wires

OK = b"HTTP/1.1 200 OK\r\n"
LARGEST = 1000


@dataclass
class Said:
    """A server that gives out its replies one by one, each as the pieces in which it is sent; None hangs up."""

    replies: list[list[bytes | None]]
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.heads.append(head)
                for piece in self.replies.pop(0):
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def port_of(server: asyncio.Server) -> int:
    return server.sockets[0].getsockname()[1]


def talk(replies: list[list[bytes | None]], timeout: float = 20.0, pause: float = 0.0):
    """What came of asking once for each reply, one after the other."""
    said = Said(replies)

    async def asking() -> list[Answered | Exception]:
        server = await asyncio.start_server(said.talk, "127.0.0.1", 0)
        wires = Wires(f"http://127.0.0.1:{port_of(server)}/v1/chat", {"Accept": "a/b"}, timeout, LARGEST)
        found: list[Answered | Exception] = []
        for number in range(len(replies)):
            try:
                found.append(await wires.post(f"k{number}", b"{}"))
            except (BrokenWireError, TimeoutError, OSError) as error:
                found.append(error)
            await asyncio.sleep(pause)
        await wires.close()
        server.close()
        return found

    return asyncio.run(asking()), said


def whole(body: bytes, more: bytes = b"") -> bytes:
    return OK + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "body", "kept"),
    [
        ([whole(b"one")], b"one", True),
        ([bytes([sign]) for sign in whole(b"by bytes")], b"by bytes", True),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"after")], b"after", True),
        ([CHUNKED + b"3\r\nabc\r\n", b"2;x=y\r\nd", b"e\r", b"\n0\r\n", b"T: x\r\n\r\n"], b"abcde", True),
        ([OK + b"\r\nto the ", b"end", None], b"to the end", False),
        ([whole(gzip.compress(b"packed"), b"content-encoding: gzip\r\n")], b"packed", True),
        ([whole(b"last", b"Connection: close\r\n")], b"last", False),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"], b"old", False),
        ([whole(b"twice") * 2], b"twice", False),
        ([whole(b"x" * (LARGEST + 1))], None, False),
        ([whole(gzip.compress(b"x" * (LARGEST + 1)), b"Content-Encoding: gzip\r\n")], None, True),
        ([CHUNKED + b"800\r\n" + b"x" * 0x800 + b"\r\n0\r\n\r\n"], None, False),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b"", True),
    ],
)
def test_an_answer_is_read_as_it_was_meant(pieces, body, kept):
    found, said = talk([pieces, [whole(b"next")]])
    assert [one.body for one in found] == [body, b"next"]
    assert said.connections == (1 if kept else 2)
    assert said.heads[0].startswith(b"POST /v1/chat HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAccept: a/b\r\nIdempotency-Key: k0\r\nContent-Length: 2\r\n\r\n" in said.heads[0]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([None], "the server closed the connection"),
        ([whole(b"cut off")[:-3], None], "an answer that was cut off"),
        ([OK, None], "an answer that was cut off"),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], "no HTTP"),
        ([b"HTTP/1.1 101 Switching\r\n\r\n"], "no HTTP"),
        ([OK + b"Content-Length: -3\r\n\r\n"], "no HTTP"),
        ([CHUNKED + b"zz\r\n"], "no HTTP"),
        ([OK + b"x: " + b"y" * (1 << 17)], "no HTTP"),
        ([whole(b"odd", b"Content-Encoding: br\r\n")], "not asked for"),
        ([whole(b"not packed", b"Content-Encoding: gzip\r\n")], "no HTTP"),
    ],
)
def test_what_is_no_answer_is_told_and_its_connection_is_not_asked_again(pieces, words):
    (first, second), said = talk([pieces, [whole(b"next")]])
    assert isinstance(first, BrokenWireError) and words in str(first)
    assert isinstance(second, Answered) and second.body == b"next" and said.connections == 2


def test_an_answer_that_nobody_waits_for_any_more_reaches_nobody():
    (late, second), _ = talk([[OK] + [b""] * 200 + [whole(b"late")], [whole(b"next")]], 0.1)
    assert isinstance(late, TimeoutError) and isinstance(second, Answered) and second.body == b"next"
    found, said = talk([[whole(b"one"), whole(b"one")], [whole(b"two")]], pause=0.05)
    assert [one.body for one in found] == [b"one", b"two"] and said.connections == 2


def way(url: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Way:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Way.to(url)


def test_the_way_leads_through_the_proxy_that_the_environment_names(monkeypatch):
    straight = way("https://host/v1", monkeypatch)
    assert (straight.host, straight.port, straight.secure, straight.tunnel) == ("host", 443, True, b"")
    by = way("https://host/v1", monkeypatch, https_proxy="http://me:p%40ss@proxy:3128")
    assert (by.host, by.port, by.secure) == ("proxy", 3128, True)
    assert by.tunnel == (
        b"CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n"
    )
    passed_on = way("http://host:8000/v1", monkeypatch, http_proxy="proxy:3128")
    assert (passed_on.host, passed_on.target, passed_on.secure) == ("proxy", "http://host:8000", False)
    assert way("http://host:8000/v1", monkeypatch, http_proxy="proxy:3128", no_proxy="host").host == "host"
    with pytest.raises(ModelError, match="NO_PROXY"):
        way("http://host/v1", monkeypatch, http_proxy="socks5://proxy:1080")


@pytest.mark.parametrize(("url", "key"), [("http://h/v1", "a\r\nX: y"), ("http://h/v1", "schlüssel"), ("ftp://h/", "")])
def test_a_key_or_an_address_that_would_spoil_the_request_is_refused(url, key):
    with pytest.raises(ModelError) as told:
        Wires(url, {"Authorization": f"Bearer {key}"}, 1.0, LARGEST)
    assert not key or key not in str(told.value)


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that connects its caller to whom it asks for."""
    place = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
    host, _, port = place.rpartition(":")
    behind, before = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def passed(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                sink.write(data)
        except ConnectionError:
            pass
        sink.close()

    await asyncio.gather(passed(reader, before), passed(behind, writer))


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a server without TLS says to somebody who begins with it."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_server_is_asked_over_tls_through_a_proxy_too_and_one_without_a_valid_certificate_is_not(
    tmp_path, monkeypatch
):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    named = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", "-x509", *kind, *named], check=True, capture_output=True)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate, key)
    said = Said([[whole(b"x" * 900)] for _ in range(3)])

    async def asking() -> list[bytes | None]:
        server = await asyncio.start_server(said.talk, "127.0.0.1", 0, ssl=ours)
        plain = await asyncio.start_server(refuse, "127.0.0.1", 0)
        proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
        bodies = []
        for variables, port in (
            ({}, port_of(server)),
            ({"SSL_CERT_FILE": str(certificate)}, port_of(plain)),
            ({}, port_of(server)),
            ({"https_proxy": f"http://127.0.0.1:{port_of(proxy)}"}, port_of(server)),
        ):
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            wires = Wires(f"https://localhost:{port}/v1", {}, 5.0, LARGEST)
            try:
                bodies += [(await wires.post("k", b"{}")).body for _ in range(2 if variables else 1)]
            except ModelError as error:
                bodies.append(str(error).partition("/v1 ")[2][:18].encode())
            await wires.close()
        for one in (server, plain, proxy):
            one.close()
        await asyncio.sleep(0.02)  # the proxy sees that its caller is gone
        return bodies

    found = asyncio.run(asking())
    assert found == [b"is not valid", b"does not speak TLS", *[b"x" * 900] * 3] and said.connections == 2
