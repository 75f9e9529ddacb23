"""Data by name: each argument is a domain, or a file names them, or a column of the rows does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from recension.corpus import Record, column_value
from recension.errors import UsageError

MAGIC = re.compile(r"[*?\[\]]")
ENDING = re.compile(r"(?:\.(?:jsonl|ndjson|json|txt|md|parquet|arrow|feather))?(?:\.(?:gz|zst))?$")
GIVEN_NAME = re.compile(r"([^/=:]+)=(.+)", re.DOTALL)
KEYS = ("path", "text_key", "limit", "domain_key")


@dataclass(frozen=True, slots=True)
class Domain:
    """A named part of the data. With a `domain_key` its rows belong to the domains that this column names."""

    name: str
    paths: tuple[str, ...]
    text_key: str | None = None
    limit: int | None = None
    domain_key: str | None = field(default=None)


def domains_of(data: Sequence[str], file: str | None, key: str | None) -> tuple[Domain, ...]:
    """The domains of the arguments, then those of the file."""
    found = [_argument(given, key) for given in data]
    if file is not None:
        found += _read(file)
    if not found:
        raise UsageError("name at least one file, folder or glob of text, or --domains FILE")
    names = [domain.name for domain in found]
    for name in names:
        if names.count(name) > 1:
            paths = [", ".join(domain.paths) for domain in found if domain.name == name]
            raise UsageError(f"two domains are called '{name}' ({'; '.join(paths)}): name one with NAME=PATH")
    return tuple(found)


def shipped() -> tuple[str, ...]:
    """The names of the ready files of domains."""
    return tuple(sorted(item.name.removesuffix(".yaml") for item in _sets().iterdir() if item.name.endswith(".yaml")))


def domain_of(record: Record, key: str) -> str | None:
    """The domain that a row names, None where it names none."""
    value = column_value(record, key)
    if isinstance(value, bool | int):
        return str(value).lower()
    return value.strip() or None if isinstance(value, str) else None


def _argument(given: str, key: str | None) -> Domain:
    match = GIVEN_NAME.fullmatch(given)
    if match and not Path(given).exists():
        return Domain(match[1].strip(), (match[2],), domain_key=key)
    return Domain(stem(given), (given,), domain_key=key)


def stem(path: str) -> str:
    """`data/news.jsonl.gz` is news, `data/news/*.jsonl` as well."""
    parts = [part for part in PurePosixPath(path.partition("://")[2] or path).parts if part not in ("/", "..")]
    for part in reversed(parts):
        name = MAGIC.sub("", ENDING.sub("", part)).strip("-_. ")
        if name:
            return name
    return "text"


# --- files of domains ------------------------------------------------------------------------------------------------


def _sets() -> Any:
    return files("recension.recipes.evaluate") / "sets"


def _read(name: str) -> list[Domain]:
    path = Path(name).expanduser()
    if not path.is_file() and name in shipped():
        return list(_domains(name, yaml.safe_load((_sets() / f"{name}.yaml").read_text("utf-8")), None))
    try:
        raw = path.read_text("utf-8")
    except OSError as error:
        ready = ", ".join(shipped())
        raise UsageError(f"--domains {name}: {error.strerror}; give a YAML or TOML file, or one of {ready}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--domains {name} is not a text file") from None
    try:
        values = tomllib.loads(raw) if path.suffix == ".toml" else yaml.load(raw, _Unrepeated)
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--domains {name} cannot be parsed: {' '.join(str(error).split())}") from None
    return list(_domains(name, values, path.parent))


class _Unrepeated(yaml.SafeLoader):
    """YAML takes the last of two domains of one name; here that is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise yaml.YAMLError(f"'{twice}' stands there twice")
        return super().construct_mapping(node, deep)


def _domains(file: str, values: Any, folder: Path | None) -> Iterator[Domain]:
    if not isinstance(values, Mapping) or not values:
        raise UsageError(f"--domains {file} names no domain: write one 'name: path' a line")
    for name, value in values.items():
        entry = value if isinstance(value, Mapping) else {"path": value}
        where = f"--domains {file}: {name}"
        strange = [str(key) for key in entry if key not in KEYS]
        if strange:
            raise UsageError(f"{where} has the unknown key '{strange[0]}'; there are {', '.join(KEYS)}")
        paths = entry.get("path")
        paths = [paths] if isinstance(paths, str) else paths
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path for path in paths):
            raise UsageError(f"{where} needs a path, or a list of them")
        limit = entry.get("limit")
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise UsageError(f"{where}: limit is a number of rows, not {limit!r}")
        words = [entry.get(key) for key in ("text_key", "domain_key")]
        if any(word is not None and not (isinstance(word, str) and word) for word in words):
            raise UsageError(f"{where}: text_key and domain_key are names of columns")
        yield Domain(str(name), tuple(_beside(path, folder) for path in paths), words[0], limit, words[1])


def _beside(path: str, folder: Path | None) -> str:
    """A relative path is relative to the file that names it."""
    return path if folder is None or "://" in path or Path(path).expanduser().is_absolute() else str(folder / path)
