"""What a run is: everything that can change its output, and the key made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recension.document import JSON
from recension.errors import (
    InputError,
    ManifestMismatchError,
    OutputError,
    RecensionError,
    UnreachableError,
    UsageError,
)
from recension.identity import fingerprint
from recension.run import folder
from recension.run.receipts import Receipt, read_receipt

SHOWN_DIFFERENCES = 6


@dataclass(frozen=True, slots=True)
class Manifest:
    """`identity` is what the key is made of: spec, inputs (label, size, stamp), layout, models.

    `facts` stand beside it and change nothing: where the inputs were, the version, the resolved configuration.
    """

    recipe: str
    recipe_version: int
    identity: Mapping[str, JSON]
    facts: Mapping[str, JSON] = field(default_factory=dict)
    decided: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return fingerprint([self.recipe, self.recipe_version, self.identity])

    @property
    def name(self) -> str:
        """The key but for the time stamps of the inputs, in short: it stands in the documents, and a copy of a corpus
        is to give the same bytes."""
        inputs: Any = self.identity.get("inputs", [])
        unstamped = [{k: v for k, v in entry.items() if k != "stamp"} for entry in inputs]
        return fingerprint([self.recipe, self.recipe_version, {**self.identity, "inputs": unstamped}])[:12]

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "recipe_version": self.recipe_version,
            "key": self.key,
            **{name: self.identity[name] for name in self.identity},
            "decided": dict(self.decided),
            "facts": dict(self.facts),
        }


def read_manifest(out: Path) -> Manifest:
    path = out / folder.MANIFEST
    try:
        raw = json.loads(path.read_bytes())
        identity = {k: v for k, v in raw.items() if k not in ("recipe", "recipe_version", "key", "decided", "facts")}
        manifest = Manifest(raw["recipe"], raw["recipe_version"], identity, raw["facts"], raw["decided"])
        recorded = raw["key"]
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(f"{out} is no Recension run: it has no {folder.MANIFEST}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{path} cannot be read ({error}): the folder was damaged; start over with --fresh") from None
    if manifest.key != recorded:
        raise OutputError(f"{path} does not match its own key: it was changed by hand; start over with --fresh")
    return manifest


class Run:
    """An open, locked run folder."""

    def __init__(self, out: Path, manifest: Manifest, holder: str) -> None:
        self.out = out
        self.holder = holder
        self.manifest = manifest

    @property
    def key(self) -> str:
        """The key of a shard: the manifest's, and what passes have decided since."""
        return shard_key(self.manifest)

    @property
    def name(self) -> str:
        """How documents of this run refer to it."""
        return self.manifest.name

    def decide(self, name: str, value: JSON) -> None:
        """Record what a pass found; it is part of the key of every shard from now on."""
        manifest = self.manifest
        self.manifest = Manifest(
            manifest.recipe,
            manifest.recipe_version,
            manifest.identity,
            manifest.facts,
            {**manifest.decided, name: value},
        )
        self._write()

    def receipt(self, index: int) -> Receipt | None:
        receipt = read_receipt(self.out, index)
        return receipt if receipt is not None and receipt.key == self.key else None

    def is_done(self, index: int) -> bool:
        """Whether a shard is finished and was not cut short by a limit."""
        receipt = self.receipt(index)
        return receipt is not None and receipt.rows_cap is None

    def _write(self) -> None:
        content = json.dumps(self.manifest.to_json(), indent=1, ensure_ascii=False).encode()
        folder.write_atomic(self.out / folder.MANIFEST, content + b"\n")


def shard_key(manifest: Manifest) -> str:
    return fingerprint([manifest.key, dict(manifest.decided)])


@contextmanager
def open_run(out: Path, manifest: Manifest, fresh: bool = False, needed: Sequence[Path] = ()) -> Iterator[Run]:
    """Create a run, or go on with the same one; another one is refused with the difference shown.

    `fresh` throws away what the folder holds, unless that is of another verb or holds something `needed` for this run.
    """
    folder.check_ours(out)
    with folder.locked(out) as holder:
        if fresh and folder.is_run(out):
            _check_fresh(out, manifest, needed)
            folder.clear(out)
        run = Run(out, manifest, holder)
        begun = not folder.is_run(out)
        if folder.is_run(out):
            existing = read_manifest(out)
            if existing.key != manifest.key:
                changes = "; ".join(differences(existing, manifest))
                raise ManifestMismatchError(
                    f"{out} holds another run: {changes}. Choose another -o, or start over with --fresh"
                )
            run.manifest = existing
        else:
            run._write()
        folder.clear_scratch(out)
        try:
            yield run
        except RecensionError as error:
            if begun and not run.manifest.decided and not any((out / name).is_dir() for name in _useful(error)):
                folder.clear(out)  # it failed before it did anything that is of use: the folder is free again
            raise


def _useful(error: RecensionError) -> list[str]:
    """The parts that a run goes on with after an error. What was merely counted belongs to settings and inputs that have
    to be others where these are at fault."""
    at_fault = isinstance(error, UsageError | InputError | UnreachableError)
    return [name for name in folder.PARTS if not (at_fault and name in ("passes", "counts", "receipts"))]


def _check_fresh(out: Path, manifest: Manifest, needed: Sequence[Path]) -> None:
    existing = read_recipe(out)
    if existing != manifest.recipe:
        raise OutputError(
            f"{out} holds a run of {existing}, not of {manifest.recipe}: choose another -o, or remove it first"
        )
    for path in needed:
        if path.resolve().is_relative_to(out.resolve()):
            raise OutputError(f"--fresh would remove {path}, which this run needs: choose another -o")


def read_recipe(out: Path) -> str:
    """The verb that wrote a folder, even where its manifest is damaged."""
    try:
        recipe = json.loads((out / folder.MANIFEST).read_bytes())["recipe"]
    except (ValueError, KeyError, TypeError):
        raise OutputError(f"{out / folder.MANIFEST} cannot be read: remove {out} yourself to start over") from None
    return str(recipe)


def differences(old: Manifest, new: Manifest) -> list[str]:
    """What changed between two manifests, in the words of their keys."""
    before = dict(_flat("", {"recipe": old.recipe, "recipe_version": old.recipe_version, **old.identity}))
    after = dict(_flat("", {"recipe": new.recipe, "recipe_version": new.recipe_version, **new.identity}))
    changed = [
        f"{name} was {_short(before.get(name))}, now {_short(after.get(name))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]
    if len(changed) > SHOWN_DIFFERENCES:
        changed = [*changed[:SHOWN_DIFFERENCES], f"and {len(changed) - SHOWN_DIFFERENCES} more"]
    return changed or ["its settings are those of another version of this tool"]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple) and value:
        for index, inner in enumerate(value):
            label = inner.get("label", index) if isinstance(inner, Mapping) else index
            yield from _flat(f"{prefix}[{label}]", inner)
    else:
        yield prefix, value


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
