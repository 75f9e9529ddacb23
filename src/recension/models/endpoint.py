"""One HTTP server that is asked again when it is busy, and whose key is never told."""

from __future__ import annotations

import random
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec

from recension.document import JSON
from recension.errors import ModelError

BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may take, and how often it is asked again: after about `first` seconds, then twice that, ..."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 120.0
    timeout: float = 300.0


class Reply(NamedTuple):
    """What a server said: yes (`status` below 300) or no."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return self.status < 300


def said(reply: Reply, key: str | None) -> str:
    """What a server gave as its reason: one line, short, without the key."""
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    words = found if isinstance(found, str) else reply.body[:400].decode("utf-8", "replace")
    line = re.sub(r"[\s\x00-\x1f\x7f]+", " ", words).strip()
    if key:
        line = line.replace(key, "***")
    return f"{reply.status}: {line[:200].rstrip('. ')}" if line else str(reply.status)


class Endpoint:
    """A server under one URL. `name` begins every message; the key goes into a header and nowhere else."""

    def __init__(self, name: str, url: str, key: str | None = None, patience: Patience | None = None) -> None:
        self.name = name
        self.url = url
        self.place = urlsplit(url).netloc
        self._key = key
        self._patience = patience or Patience()
        self._opener = build_opener(_NoRedirects())

    def get(self, path: str, most: int = 16 << 20) -> Reply:
        return self._ask(path, None, most)

    def post(self, path: str, body: Mapping[str, JSON], most: int) -> Reply:
        """The answer, of at most `most` bytes."""
        return self._ask(path, msgspec.json.encode(body), most)

    def said(self, reply: Reply) -> str:
        return said(reply, self._key)

    def _ask(self, path: str, body: bytes | None, most: int) -> Reply:
        patience = self._patience
        for attempt in range(1, patience.attempts + 1):
            reply, asked = self._once(path, body, most)
            if isinstance(reply, Reply) and reply.status not in BUSY:
                return reply
            trouble = self.said(reply) if isinstance(reply, Reply) else reply
            if attempt == patience.attempts:
                break
            pause = random.uniform(0.5, 1.0) * patience.first * 2 ** (attempt - 1)
            if asked is not None and asked > patience.longest:
                raise ModelError(f"{self.name}: the server at {self.place} asks to wait {asked:.0f} s ({trouble})")
            time.sleep(min(max(pause, asked or 0.0), patience.longest))
        raise ModelError(
            f"{self.name}: no answer from {self.place} in {patience.attempts} attempts ({trouble}); "
            "is the server up? The same command goes on where this run stopped"
        )

    def _once(self, path: str, body: bytes | None, most: int) -> tuple[Reply | str, float | None]:
        """A reply or what went wrong on the way, and the seconds that the server asks to wait."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "recension"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = Request(self.url + path, data=body, headers=headers)
        try:
            with self._opener.open(request, timeout=self._patience.timeout) as answer:
                found = answer.read(most + 1)
                if len(found) > most:
                    raise ModelError(
                        f"{self.name}: an answer of {self.place} is larger than the {most:,} bytes it may be"
                    )
                return Reply(answer.status, found), None
        except HTTPError as error:
            with error:
                status, wait = error.code, seconds(error.headers.get("Retry-After"))
                if 300 <= status < 400:
                    raise ModelError(
                        f"{self.name}: {self.place} redirects ({status}); give the URL it leads to"
                    ) from None
                if status in (401, 403):
                    # Not quoted: some servers repeat a part of the key.
                    given = "refuses the key" if self._key else "asks for a key, and there is none"
                    raise ModelError(f"{self.name}: {self.place} {given} ({status}); see --api-key-variable") from None
                try:
                    return Reply(status, error.read(1 << 16)), wait
                except (OSError, HTTPException):
                    return Reply(status, b""), wait
        except URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise ModelError(f"{self.name}: the certificate of {self.place} is not valid") from None
            return in_words(error.reason), None
        except (OSError, HTTPException) as error:
            return in_words(error), None


class _NoRedirects(HTTPRedirectHandler):
    """A redirect would carry the key to somebody else."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def in_words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "it took too long"
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return re.sub(r"\s+", " ", str(words))[:120]


def seconds(text: str | None) -> float | None:
    """Retry-After: seconds, or a date."""
    if not text:
        return None
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None
