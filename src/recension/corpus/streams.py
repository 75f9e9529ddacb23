"""Bytes of a file in order: opened, hashed, decompressed, and honest about where they break off."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from recension.corpus.remote import driver_errors, reason_of, system_of
from recension.corpus.rows import Fault, SourceFile
from recension.errors import InputChangedError, InputError

CHUNK = 1 << 20
ZSTD_STEP = 2 << 10  # a step of compressed zeros grows to 64 MiB at the very most
GZIP_STEP = 64 << 10


@contextmanager
def open_file(file: SourceFile) -> Iterator[IO[bytes]]:
    """Open a file for reading from any process."""
    try:
        if file.local:
            handle: IO[bytes] = Path(file.url).open("rb")  # noqa: SIM115 - closed below
            system = None
        else:
            system, path = system_of(file.url)
            handle = cast("IO[bytes]", system.open(path, "rb"))
    except FileNotFoundError:
        raise InputChangedError(f"{file.where} has gone since the run began: put it back, or start over") from None
    except PermissionError:
        raise InputError(f"cannot read {file.where}: permission denied; make it readable or leave it out") from None
    except driver_errors() as error:
        raise InputError(f"cannot open {file.where}: {reason_of(error)}; check it and run again") from error
    with handle:
        yield handle
    del system  # an archive closes its files when it is let go


class Stream:
    """The content of a file in chunks of about 1 MiB. After the last one, `digest` is the sha256 of the raw bytes
    and `damage` says where a compressed file broke off, if it did. A file whose hash is `known` is not hashed again.
    """

    def __init__(self, file: SourceFile, known: str = "") -> None:
        self.file = file
        self.damage: Fault | None = None
        self.digest = known

    def __iter__(self) -> Iterator[bytes]:
        raw = self._raw()
        if self.file.format.endswith(".gz"):
            yield from _grouped(self._gunzip(raw))
        elif self.file.format.endswith(".zst"):
            yield from _grouped(self._unzstd(raw))
        else:
            yield from raw
        for _ in raw:  # what stands behind a damage still counts for the hash
            pass

    def _raw(self) -> Iterator[bytes]:
        digest = None if self.digest else hashlib.sha256()
        with open_file(self.file) as handle:
            try:
                while chunk := handle.read(CHUNK):
                    if digest is not None:
                        digest.update(chunk)
                    yield chunk
            except driver_errors() as error:
                raise InputError(f"cannot read {self.file.where}: {reason_of(error)}; run again") from error
        if digest is not None:
            self.digest = digest.hexdigest()

    def _gunzip(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        member: Any = None
        read = False
        for chunk in raw:
            waiting = chunk
            while waiting:
                if member is None:
                    waiting = waiting.lstrip(b"\0") if read else waiting  # padding between members
                    if not waiting:
                        break
                    member = zlib.decompressobj(31)
                read = True
                step, rest = waiting[:GZIP_STEP], waiting[GZIP_STEP:]
                before = member.copy()
                given = 0
                try:
                    for data in _inflate(member, step):
                        given += len(data)
                        yield data
                except zlib.error as error:
                    yield _inflate_up_to_error(before, step)[given:]
                    self.damage = Fault("corrupt-gzip", f"the gzip data breaks here ({error})")
                    return
                waiting = member.unused_data + rest
                if member.eof:
                    member = None
        if member is not None or not read:
            self.damage = Fault("truncated-gzip", "the gzip data ends in the middle")

    def _unzstd(self, raw: Iterator[bytes]) -> Iterator[bytes]:
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        frame: Any = None
        read = False
        for chunk in raw:
            position = 0
            while position < len(chunk):
                frame = frame or decompressor.decompressobj()
                read = True
                step = chunk[position : position + ZSTD_STEP]
                try:
                    data = frame.decompress(step)
                except zstandard.ZstdError as error:
                    self.damage = Fault("corrupt-zstd", f"the zstd data breaks here ({error})")
                    return
                if data:
                    yield data
                position += len(step) - len(frame.unused_data)
                if frame.eof:
                    frame = None
        if frame is not None or not read:
            self.damage = Fault("truncated-zstd", "the zstd data ends in the middle")


def _inflate(member: Any, step: bytes) -> Iterator[bytes]:
    """Decompress one step in bounded pieces: a few bytes of zeros may stand for gigabytes."""
    data = member.decompress(step, CHUNK)
    while data:
        yield data
        if len(data) < CHUNK and not member.unconsumed_tail:
            return
        data = member.decompress(member.unconsumed_tail, CHUNK)


def _inflate_up_to_error(member: Any, step: bytes) -> bytes:
    """What can be had of a step that breaks: zlib keeps nothing of a failing call, so it goes byte by byte."""
    given: list[bytes] = []
    for index in range(len(step)):
        try:
            given.extend(_inflate(member, step[index : index + 1]))
        except zlib.error:
            break
    return b"".join(given)


def _grouped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces joined into chunks of about 1 MiB."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def hash_file(file: SourceFile) -> str:
    """sha256 of a file, read once in order."""
    stream = Stream(SourceFile(file.label, file.url, file.size, file.stamp, "raw"))
    for _ in stream:
        pass
    return stream.digest
