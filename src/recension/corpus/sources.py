"""Input files found: files, folders, globs and URLs to one ordered list, with nothing passed over in silence."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recension.corpus.folders import Chosen, chosen_files
from recension.corpus.listing import KNOWN, MAGIC, Found, Listing, format_of, named
from recension.corpus.remote import driver_errors, reason_of, remote_files, stamp_of, system_of
from recension.corpus.rows import SourceFile, shown
from recension.errors import InputChangedError, InputError


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of all inputs in order, and what there is to say of them.

    `skipped` are files of folders that are in no format we know, `repeated` the labels of files that were there before
    under another name, `runs` the run folders among the inputs and below them.
    """

    files: tuple[SourceFile, ...]
    skipped: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


def find_files(inputs: Sequence[str], exclude: Path | None = None) -> Sources:
    """The files of all inputs."""
    if not inputs:
        raise InputError("no input: name a file, a folder, a glob or a URL")
    files: list[SourceFile] = []
    skipped: list[str] = []
    repeated: list[str] = []
    runs: dict[str, None] = {}
    labels: set[str] = set()
    known: set[str] = set()
    for given in inputs:
        listing = _list(given, exclude)
        usable = [(found, kind) for found in listing.files if (kind := format_of(found.path)) is not None]
        others = [shown(found.path) for found in listing.files if format_of(found.path) is None]
        for found, kind in usable:
            label = _unique(shown(found.path), labels)
            file = SourceFile(label, found.url, found.size, found.stamp, kind)
            files.append(file)
            real = os.path.realpath(file.url) if file.local else file.url
            if real in known:
                repeated.append(label)
            known.add(real)
        skipped += others
        runs.update(dict.fromkeys(listing.runs))
        if not usable and listing.runs:
            raise InputError(f"{shown(given)} holds no documents: it is a run that has written none (or a model)")
        if not usable:
            seen = f" ({len(others)} of other formats)" if others else ""
            raise InputError(f"no usable file in {shown(given)}{seen}: Recension reads {KNOWN}")
    return Sources(tuple(files), tuple(skipped), tuple(repeated), tuple(runs))


def check_unchanged(files: SourceFile | Iterable[SourceFile]) -> None:
    """Raise where a file is no longer the one that the run began with."""
    for file in [files] if isinstance(files, SourceFile) else files:
        try:
            size, stamp = _state_now(file)
        except FileNotFoundError:
            raise InputChangedError(
                f"{file.where} has gone since the run began: put it back, or start over with --fresh"
            ) from None
        except driver_errors() as error:
            raise InputError(f"cannot look at {file.where}: {reason_of(error)}; check it and run again") from error
        if (size, stamp) != (file.size, file.stamp):
            what = f"{file.size} bytes then, {size} now" if size != file.size else "modified"
            raise InputChangedError(f"{file.where} has changed since the run began ({what}): start over with --fresh")


def _state_now(file: SourceFile) -> tuple[int, str]:
    if file.local:
        state = Path(file.url).stat()
        return state.st_size, str(state.st_mtime_ns)
    system, path = system_of(file.url)
    system.invalidate_cache(path)
    info = system.info(path)
    return int(info.get("size") or 0), stamp_of(info)


def _unique(label: str, labels: set[str]) -> str:
    """Two files of one name stay apart: the second is `2:name`."""
    name, count = label, 1
    while name in labels:
        count += 1
        name = f"{count}:{label}"
    labels.add(name)
    return name


def _list(given: str, exclude: Path | None) -> Listing:
    if not given.removeprefix("file://"):
        raise InputError("an input is empty: is a shell variable unset?")
    if "://" in given and not given.startswith("file://"):
        return remote_files(given)
    path = Path(given.removeprefix("file://")).expanduser()
    barred = exclude.resolve() if exclude else None
    try:
        if path.is_dir():
            return _without(_folder(path, given), barred)
        if path.exists():
            if _inside(str(path), barred):
                raise InputError(f"{shown(given)} lies in the output folder: choose another -o")
            return Listing([named(_local(path, path.name), given)], [])
        if MAGIC.search(given):
            return _without(_glob(path), barred)
    except PermissionError as error:
        name = shown(str(error.filename or given))
        raise InputError(f"cannot read {name}: permission denied; make it readable") from None
    raise InputError(f"no such file or folder: {shown(given)}")


def _without(listing: Listing, barred: Path | None) -> Listing:
    """A listing without what lies in the output folder."""
    if barred is None:
        return listing
    files = [found for found in listing.files if not _inside(found.url, barred)]
    return Listing(files, [run for run in listing.runs if not _inside(run, barred)])


def _inside(path: str, folder: Path | None) -> bool:
    return folder is not None and Path(path).resolve().is_relative_to(folder)


def _local(path: Path, label: str) -> Found:
    state = path.stat()
    return Found(label, str(path.absolute()), state.st_size, str(state.st_mtime_ns))


def _folder(root: Path, given: str) -> Listing:
    names = sorted(path.relative_to(root).as_posix() for path in _walk(root))
    chosen = chosen_files(names, lambda name: (root / name).read_bytes())
    return Listing([_local(root / name, name) for name in chosen.files], _runs(given.removeprefix("file://"), chosen))


def _runs(given: str, chosen: Chosen) -> list[str]:
    return [os.path.join(given, run) if run else given for run in chosen.runs]  # noqa: PTH118 - as it was given


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


def _glob(path: Path) -> Listing:
    parts = path.parts
    first = next(index for index, part in enumerate(parts) if MAGIC.search(part))
    root = Path(*parts[:first]) if first else Path()
    found: dict[str, Found] = {}
    runs: list[str] = []
    matches = sorted(root.glob("/".join(parts[first:]))) if root.is_dir() else []
    recursive = "**" in parts
    for match in matches:
        prefix = match.relative_to(root).as_posix()
        if match.is_dir():
            below = Listing([], []) if recursive else _folder(match, str(match))
            items = [replace(item, path=f"{prefix}/{item.path}") for item in below.files]
            runs += below.runs
        else:
            items = [_local(match, name) for name in chosen_files([prefix], None).files]
        for item in items:
            found.setdefault(item.url, item)
    if not found and not runs:
        raise InputError(f"nothing matches {shown(str(path))}: check the pattern")
    return Listing(list(found.values()), runs)
