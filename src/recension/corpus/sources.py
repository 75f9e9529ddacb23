"""Input files found: files, folders, globs and URLs to one ordered list, with nothing passed over in silence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recension.corpus.folders import chosen_files
from recension.corpus.rows import SourceFile
from recension.errors import InputChangedError, InputError

PLAIN_FORMATS = ("jsonl", "ndjson", "json", "txt")
TABLE_FORMATS = ("parquet", "arrow")
KNOWN = ".jsonl .ndjson .json .txt (also with .gz or .zst), .parquet and .arrow"
_STAMPS = ("ETag", "etag", "blob_id", "mtime", "LastModified", "last_modified", "updated", "created")
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a listing: its path within the listed folder, and what opens it."""

    path: str
    url: str
    size: int
    stamp: str


def format_of(name: str) -> str | None:
    """The format of a file by its name, or None where it is none of ours."""
    stem = name.lower()
    packed = ""
    for ending in (".gz", ".zst"):
        if stem.endswith(ending):
            stem, packed = stem.removesuffix(ending), ending
    last = stem.rpartition(".")[2] if "." in stem else ""
    if last in PLAIN_FORMATS:
        return last + packed
    return last if last in TABLE_FORMATS and not packed else None


def find_files(inputs: Sequence[str], exclude: Path | None = None) -> tuple[tuple[SourceFile, ...], tuple[str, ...]]:
    """The files of all inputs in order, and the files of folders that are in no format we know."""
    if not inputs:
        raise InputError("no input: name a file, a folder, a glob or a URL")
    files: list[SourceFile] = []
    skipped: list[str] = []
    labels: set[str] = set()
    for given in inputs:
        usable = 0
        for found in _list(given, exclude):
            kind = format_of(found.path)
            if kind is None:
                skipped.append(found.path)
                continue
            usable += 1
            # A name that is no text on this system still has to be text in a table.
            label = os.fsencode(found.path).decode("utf-8", "backslashreplace")
            files.append(SourceFile(_unique(label, labels), found.url, found.size, found.stamp, kind))
        if not usable:
            seen = f" ({len(skipped)} of other formats)" if skipped else ""
            raise InputError(f"no usable file in {given}{seen}: Recension reads {KNOWN}")
    return tuple(files), tuple(skipped)


def check_unchanged(files: SourceFile | Iterable[SourceFile]) -> None:
    """Raise where a file is no longer the one that the run began with."""
    for file in [files] if isinstance(files, SourceFile) else files:
        try:
            size, stamp = _state_now(file)
        except FileNotFoundError:
            raise InputChangedError(
                f"{file.url} has gone since the run began: put it back, or start over with --fresh"
            ) from None
        except OSError as error:
            raise InputError(f"cannot look at {file.url}: {error.strerror or error}; check it and run again") from error
        if (size, stamp) != (file.size, file.stamp):
            what = f"{file.size} bytes then, {size} now" if size != file.size else "modified"
            raise InputChangedError(f"{file.url} has changed since the run began ({what}): start over with --fresh")


def _state_now(file: SourceFile) -> tuple[int, str]:
    if file.local:
        state = Path(file.url).stat()
        return state.st_size, str(state.st_mtime_ns)
    from fsspec.core import url_to_fs

    system, path = url_to_fs(file.url)
    system.invalidate_cache(path)
    info = system.info(path)
    return int(info.get("size") or 0), _stamp(info)


def _stamp(info: Mapping[str, Any]) -> str:
    value = next((info[key] for key in _STAMPS if info.get(key) is not None), "")
    return str(value.timestamp() if isinstance(value, datetime) else value)


def _unique(label: str, labels: set[str]) -> str:
    """Two files of one name stay apart: the second is `2:name`."""
    name, count = label, 1
    while name in labels:
        count += 1
        name = f"{count}:{label}"
    labels.add(name)
    return name


def _list(given: str, exclude: Path | None) -> list[Found]:
    if "://" in given and not given.startswith("file://"):
        return list(_remote(given))
    path = Path(given.removeprefix("file://")).expanduser()
    barred = exclude.resolve() if exclude else None
    try:
        if path.is_dir():
            return [found for found in _folder(path) if not _inside(found.url, barred)]
        if path.exists():
            if _inside(str(path), barred):
                raise InputError(f"{given} lies in the output folder: choose another -o")
            return [_named(_local(path, path.name), given)]
        if _MAGIC.search(given):
            return [found for found in _glob(path) if not _inside(found.url, barred)]
    except PermissionError as error:
        raise InputError(f"cannot read {error.filename or given}: permission denied; make it readable") from None
    raise InputError(f"no such file or folder: {given}")


def _inside(path: str, folder: Path | None) -> bool:
    return folder is not None and Path(path).resolve().is_relative_to(folder)


def _named(found: Found, given: str) -> Found:
    if format_of(found.path) is None:
        raise InputError(f"{given} is in no format we know by its name: Recension reads {KNOWN}")
    return found


def _local(path: Path, label: str) -> Found:
    state = path.stat()
    return Found(label, str(path.absolute()), state.st_size, str(state.st_mtime_ns))


def _folder(root: Path) -> Iterator[Found]:
    names = sorted(path.relative_to(root).as_posix() for path in _walk(root))
    for name in chosen_files(names, lambda name: (root / name).read_bytes()):
        yield _local(root / name, name)


def _walk(root: Path) -> Iterator[Path]:
    """Every file below a folder; links are followed, each folder once."""

    def refuse(error: OSError) -> None:
        raise error

    seen: set[Path] = set()
    for folder, below, names in os.walk(root, onerror=refuse, followlinks=True):
        if (real := Path(folder).resolve()) in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                yield path


def _glob(path: Path) -> Iterator[Found]:
    parts = path.parts
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    root = Path(*parts[:first]) if first else Path()
    seen: set[str] = set()
    matches = sorted(root.glob("/".join(parts[first:]))) if root.is_dir() else []
    recursive = "**" in parts
    for match in matches:
        prefix = match.relative_to(root).as_posix()
        if match.is_dir():
            below = () if recursive else _folder(match)
            found = [replace(item, path=f"{prefix}/{item.path}") for item in below]
        else:
            found = [_local(match, name) for name in chosen_files([prefix], None)]
        for item in found:
            if item.url not in seen:
                seen.add(item.url)
                yield item
    if not seen:
        raise InputError(f"nothing matches {path}: check the pattern")


def _remote(given: str) -> Iterator[Found]:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(given)
    except ImportError as error:
        raise InputError(f"cannot open {given}: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise InputError(f"cannot open {given}: {error}; check the protocol") from None
    behind = "::" + given.partition("::")[2] if "::" in given else ""
    protocol = given.partition("://")[0]

    def found(name: str, info: Mapping[str, Any]) -> Found:
        full = str(info["name"])
        url = f"{protocol}://{full}{behind}" if behind else str(system.unstrip_protocol(full))
        return Found(name, url, int(info.get("size") or 0), _stamp(info))

    web = protocol in ("http", "https")  # a question mark begins the query there, and there are no folders
    magic = None if web else _MAGIC.search(path)
    last = (path.partition("?")[0] if web else path).rpartition("/")[2]
    try:
        if magic is None and (web or format_of(last)) and system.isfile(path):
            yield _named(found(last, system.info(path)), given)
            return
        root, listing = _listing(system, path, magic.start() if magic else None)
    except PermissionError:
        raise InputError(f"cannot read {given}: permission denied; check the credentials") from None
    except FileNotFoundError:
        raise InputError(f"no such file or folder: {given}") from None
    except OSError as error:
        raise InputError(f"cannot list {given}: {error.strerror or error}; check it and run again") from error
    by_name = {name.removeprefix(root).lstrip("/"): info for name, info in listing.items()}
    if root == path:  # a file whose name says no format
        yield _named(found(last, listing[path]), given)
        return

    def read(name: str) -> bytes:
        return bytes(system.cat_file(by_name[name]["name"]))

    for name in chosen_files(sorted(by_name), None if magic else read):
        yield found(name, by_name[name])


def _listing(system: Any, path: str, magic: int | None) -> tuple[str, dict[str, Mapping[str, Any]]]:
    """The files that a path stands for, by their full paths, and what all of these begin with."""
    if magic is not None:
        root = path[:magic].rpartition("/")[0] + "/"
        listing = system.glob(path, detail=True)
    elif system.isdir(path):
        root = path.rstrip("/") + "/"
        listing = system.find(path, detail=True)
    else:
        return path, {path: system.info(path)}
    files = {str(info["name"]): info for info in listing.values() if info.get("type") != "directory"}
    if not files:
        raise FileNotFoundError(path)
    return root, files
