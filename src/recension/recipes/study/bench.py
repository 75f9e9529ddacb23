"""Where a study works: its files by role, the text it draws of them, and the folders of its steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from recension.corpus import SourceFile, open_corpus
from recension.errors import UsageError
from recension.methods.seeds import Judgement, judge, spread
from recension.recipes.pages import as_inputs, reading_of
from recension.recipes.settings import Effort, RowSettings
from recension.recipes.study.drawing import Draw, drawn
from recension.recipes.study.spec import ScaleName, StudyEffort, StudySpec
from recension.report.study import Claim, StudyTable
from recension.report.values import Measured
from recension.run.folder import write_atomic
from recension.run.receipts import read_seal
from recension.training.shapes import shape_of

STEPS, DRAWN = "steps", "drawn"
SPARE = ("beside", "tasks")  # roles that begin so are left out where only text of one's own is given
SetUp = TypeVar("SetUp", bound="Scale")
Files = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Scale:
    """What every scale says: how many seeds, which prior, and the files of each role, below --data."""

    files: Files
    seeds: int = 3
    prior: str = "embedded"
    device: str = ""  # what the cost is told for; "" a core


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a verb into a folder of its own. `work` is what it computes, in floating-point operations."""

    name: str
    verb: str
    act: Callable[[Path], object]
    work: float = 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What a study makes of its steps: claims first, the most important one at the top."""

    claims: tuple[Claim, ...]
    tables: tuple[StudyTable, ...]
    notes: tuple[str, ...] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study(Generic[SetUp]):
    """A recipe. `pilot` are the steps that the control needs, `null` what its two halves differ by, in each measure."""

    name: str
    title: str
    question: str
    source: str
    scales: Mapping[ScaleName, SetUp]
    pilot: Callable[[Bench[SetUp]], Iterator[Step]]
    null: Callable[[Bench[SetUp]], Mapping[str, Sequence[float]]]
    steps: Callable[[Bench[SetUp]], Iterator[Step]]
    findings: Callable[[Bench[SetUp]], Findings]


@dataclass(frozen=True)
class Bench(Generic[SetUp]):
    """What a recipe works with. `smallest` holds the smallest effects once the control has run."""

    out: Path
    scale: SetUp
    spec: StudySpec
    effort: StudyEffort = field(default_factory=StudyEffort)
    smallest: Mapping[str, float] = field(default_factory=dict)
    planned: bool = False  # nothing is read: the steps are only listed

    @property
    def seeds(self) -> range:
        return range(self.spec.seeds or self.scale.seeds)

    @property
    def prior(self) -> str:
        return self.spec.prior or self.scale.prior

    @property
    def run_effort(self) -> Effort:
        return Effort(workers=self.effort.workers)

    # --- files -------------------------------------------------------------------------------------------------------

    @cached_property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The files of every role: as given, or those of the scale in the folder of --data."""
        given = self.spec.given
        strange = [role for role, paths in given.items() if paths and role not in self.scale.files]
        if strange:
            raise UsageError(
                f"study {self.spec.study} has no role '{strange[0]}': it has {', '.join(self.scale.files)}"
            )
        found = {}
        for role, names in self.scale.files.items():
            if role.startswith(SPARE) and self.spec.data is None and not given.get(role) and not self.planned:
                continue
            found[role] = given.get(role) or (names if self.planned else self._in_folder(role, names))
        return found

    def _in_folder(self, role: str, names: tuple[str, ...]) -> tuple[str, ...]:
        named = f"--{role.replace('_', '-')} IN" if role in ("human", "synthetic", "held_out") else f"--text {role}=IN"
        if self.spec.data is None:
            raise UsageError(
                f"study {self.spec.study} needs {role.replace('_', ' ')} text: give {named}, or --data DIR"
            )
        if not names:
            raise UsageError(
                f"--scale {self.spec.scale} brings no files for {role.replace('_', ' ')} text: give {named}"
            )
        missing = [name for name in names if not (Path(self.spec.data) / name.partition("=")[2]).exists()]
        if missing:
            raise UsageError(
                f"--data {self.spec.data} lacks {missing[0].partition('=')[2]}: give {named}, or another folder"
            )
        return tuple(f"{head}={Path(self.spec.data) / path}" for head, _, path in (n.partition("=") for n in names))

    def paths(self, role: str) -> list[str]:
        """The files of a role without their names."""
        return [_path(name) for name in self.roles[role]]

    def named(self, role: str) -> dict[str, str]:
        """The files of a role by name."""
        return {
            (name.partition("=")[0] if _path(name) != name else Path(name).name): _path(name)
            for name in self.roles[role]
        }

    def sources(self) -> list[tuple[str, SourceFile]]:
        """Every file that is read, with its role: it goes into the key."""
        found = []
        for role in self.roles:
            for path in self.paths(role):
                corpus = open_corpus(as_inputs(path), reading_of(RowSettings()), exclude=self.out)
                found += [(role, file) for file in corpus.files]
        return found

    def drawn(self, role: str, draw: Draw) -> Path:
        """Text drawn of the files of a role, made once; a draw of no size is the corpus as it is."""
        return self._drawn(self.paths(role), role, draw)

    def domains(self, draw: Draw, role: str = "held_out") -> list[str]:
        """Text drawn of each file of a role, as `evaluate ppl` takes domains."""
        return [f"{name}={self._drawn([path], f'{role}-{name}', draw)}" for name, path in self.named(role).items()]

    def _drawn(self, paths: list[str], called: str, draw: Draw) -> Path:
        if not draw.size:
            if len(paths) > 1:
                raise UsageError(f"--scale {self.spec.scale} reads its text as it is: name one file, folder or glob")
            return Path(paths[0])
        name = (draw.name or called).replace(" ", "-").replace("/", "-")
        path = self.out / DRAWN / f"{name}-{draw.size}-{draw.seed}.jsonl"
        if not path.is_file():
            drawn(paths, draw, path)
        return path

    def noted(self, name: str, values: Any) -> str:
        """Settings as a YAML file beside the drawn text, for a verb that takes a file."""
        path = self.out / DRAWN / name
        write_atomic(path, yaml.safe_dump(values, sort_keys=True).encode())
        return str(path)

    # --- steps -------------------------------------------------------------------------------------------------------

    def place(self, step: str) -> Path:
        return self.out / STEPS / step

    def done(self, step: str) -> bool:
        return read_seal(self.place(step)) is not None

    def report(self, step: str) -> dict[str, Any]:
        """What a step has found."""
        found: dict[str, Any] = json.loads((self.place(step) / "report.json").read_bytes())
        return found

    def model(self, step: str) -> str:
        return f"hf:{self.place(step)}"

    # --- what is made of them ----------------------------------------------------------------------------------------

    def claim(
        self, says: str, measure: tuple[str, str], differences: Sequence[float], rises: bool, paper: str
    ) -> Claim:
        """A claim that a difference is above zero, or below; `measure` is the key of its smallest effect, and its unit."""
        key, unit = measure
        smallest = self.smallest[key]
        judgement: Judgement = judge(differences, smallest, rises)
        return Claim(says, unit, measured(differences), smallest, judgement, paper)


def _path(name: str) -> str:
    """`NAME=PATH` without its name, as `evaluate ppl` reads it."""
    head, mark, path = name.partition("=")
    return path if mark and "/" not in head and not Path(name).exists() else name


def measured(values: Sequence[float]) -> Measured:
    return Measured(*spread(values))


def parameters(preset: str) -> int:
    shape = shape_of(preset)
    return shape.parameters(shape.vocabulary)
