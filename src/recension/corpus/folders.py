"""Folders that say themselves which of their files are data: runs, saved data sets, snapshots of a hub."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from recension.errors import InputError

_CARDS = ("readme", "license", "licence", "citation", "notice")
_DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
Opener = Callable[[str], bytes]


class Chosen(NamedTuple):
    """The data of a folder, and which of the folders in it are runs ("" is the folder itself)."""

    files: list[str]
    runs: list[str]


def chosen_files(names: Sequence[str], read: Opener | None) -> Chosen:
    """Which of the sorted relative paths below a folder are data, in the order in which they are read.

    `read` gives the content of a description by its path; None means that the files were chosen by a pattern.
    """
    visible = [name for name in names if not _is_hidden(name)]
    if read is None:
        return Chosen([name for name in visible if not _is_aside(name)], [])
    runs: list[str] = []
    card = _configured(visible, read)
    return Chosen(card if card is not None else list(_below("", visible, read, runs)), runs)


def _below(folder: str, names: Sequence[str], read: Opener, runs: list[str]) -> Iterator[str]:
    """The data among the files below one folder, which may describe itself."""
    own = {name.removeprefix(folder): name for name in names}
    if _is_run(own, read):
        runs.append(folder.rstrip("/"))
        yield from (name for path, name in own.items() if path.startswith("data/") and not _is_aside(name))
        return
    if "dataset_dict.json" in own:
        splits = _json(own["dataset_dict.json"], read).get("splits", [])
        for split in splits:
            part = f"{folder}{split}/"
            yield from _below(part, [name for name in names if name.startswith(part)], read, runs)
        return
    state = _json(own["state.json"], read) if "state.json" in own else {}
    if isinstance(state.get("_data_files"), list):
        for item in state["_data_files"]:
            name = folder + str(item.get("filename", ""))
            if name not in names:
                raise InputError(f"{folder}state.json names {name}, which is not there: the data set is incomplete")
            yield name
        return
    yield from _plain(folder, names, read, runs)


def _plain(folder: str, names: Sequence[str], read: Opener, runs: list[str]) -> Iterator[str]:
    """The files of a folder that says nothing, and those of its subfolders, in the order of their paths."""
    done = ""  # "0" is what follows "/" in the order of characters
    for name in names:
        inner, slash, _ = name.removeprefix(folder).partition("/")
        if not slash:
            if not _is_aside(name):
                yield name
            continue
        part = f"{folder}{inner}/"
        if part != done:
            done = part
            yield from _below(part, names[bisect_left(names, part) : bisect_left(names, f"{part[:-1]}0")], read, runs)


def _is_run(own: dict[str, str], read: Opener) -> bool:
    """A run may have no data at all: it is being made, nothing came of it, or it made a model."""
    if "manifest.json" not in own:
        return False
    manifest = _json(own["manifest.json"], read)
    return "recipe" in manifest and "key" in manifest


def _json(name: str, read: Opener) -> dict[str, Any]:
    try:
        value = json.loads(read(name))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "_temporary" for part in name.split("/"))


def _is_aside(name: str) -> bool:
    """Cards, licences, markers and descriptions: no data, and nothing to report."""
    last = name.rpartition("/")[2].lower()
    if last in _DESCRIPTIONS or last.endswith(".md") or last.partition(".")[0] in _CARDS:
        return True
    return last.startswith("_") and "." not in last


def _configured(names: Sequence[str], read: Opener) -> list[str] | None:
    """The files that the card of a data set names for its default configuration, or else its first."""
    if "README.md" not in names or "manifest.json" in names:
        return None
    front = re.match(rb"---\s*\n(.*?)\n---", read("README.md"), re.DOTALL)
    if not front:
        return None
    import yaml

    try:
        card = yaml.safe_load(front.group(1))
    except yaml.YAMLError:
        return None
    configs = card.get("configs") if isinstance(card, dict) else None
    if not isinstance(configs, list):
        return None
    usable = [
        config for config in configs if isinstance(config, dict) and ("data_files" in config or "data_dir" in config)
    ]
    if not usable:
        return None
    named = [config for config in usable if config.get("config_name") == "default"]
    chosen = next((config for config in usable if config.get("default") is True), (named or usable)[0])
    found: dict[str, None] = {}
    for pattern in _patterns(chosen):
        matched = [name for name in names if _matches(name, pattern)]
        if not matched:
            raise InputError(f"the card README.md names '{pattern}', which matches no file: the data set is incomplete")
        found.update(dict.fromkeys(matched))
    return list(found)


def _patterns(config: dict[str, Any]) -> Iterator[str]:
    prefix = f"{config['data_dir'].strip('/')}/" if isinstance(config.get("data_dir"), str) else ""
    files = config.get("data_files", "**")
    for item in files if isinstance(files, list) else [files]:
        path = item.get("path") if isinstance(item, dict) else item
        for pattern in path if isinstance(path, list) else [path]:
            yield prefix + str(pattern).removeprefix("./")


def _matches(name: str, pattern: str) -> bool:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    spelled = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = "".join(
        spelled.get(piece) or (piece if piece.startswith("[") and piece.endswith("]") else re.escape(piece))
        for piece in pieces
    )
    return re.fullmatch(expression, name) is not None
