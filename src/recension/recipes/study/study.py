"""The verb: the control, what it says can be seen, the other steps, the verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from recension import __version__
from recension.document import JSON
from recension.methods.seeds import FEWEST, detectable
from recension.recipes.pages import identity_of, yaml_config
from recension.recipes.settings import flat
from recension.recipes.study.bench import DRAWN, Bench, Step, Study
from recension.recipes.study.listed import study_of
from recension.recipes.study.spec import StudyEffort, StudySpec
from recension.report.study import StudyReport, study_page, verdict_of
from recension.run.execute import seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.progress import Observer, Progress, Silent
from recension.run.receipts import FOLDER, SEAL, break_seal
from recension.run.verify import file_sha256

RECIPE_VERSION = 1
COSTS = ("device", "prior_work", "work_per_word", "read")  # of a scale: they say what it costs, and change nothing
CORE, GPU = 5e10, 4e14  # operations a second: of one core, and of an H100 at 40 % of its peak


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What a study would do: the answer of `--dry-run`. `seconds` are those of one core, or of one H100."""

    study: str
    scale: str
    question: str
    seeds: int
    steps: Mapping[str, int]
    work: float
    device: str
    seconds: float
    settings: Mapping[str, str]


def study(
    name: str,
    out: str | Path,
    spec: StudySpec | None = None,
    effort: StudyEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> StudyReport | None:
    """Carry out a study into a run folder, whose `steps/` are run folders themselves. A second call does what is missing.

    None: the time that it was given is over, and the same call goes on.
    """
    spec, effort, observer = replace(spec or StudySpec(), study=name), effort or StudyEffort(), observer or Silent()
    recipe, out = study_of(name), output_path(out)
    bench: Bench[Any] = Bench(out, recipe.scales[spec.scale], spec, effort)
    sources = bench.sources()
    given: dict[str, JSON] = {role: list(names) for role, names in bench.roles.items()}
    identity: dict[str, JSON] = {
        "study": name,
        "scale": spec.scale,
        "seeds": len(bench.seeds),
        "prior": bench.prior,
        "device": spec.device,
        "setup": {name: value for name, value in flat(bench.scale).items() if name not in COSTS},
        "inputs": [{**_identity(file), "role": role} for role, file in sources],
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": given,
        "urls": {file.label: file.where for _, file in sources},
        "config": flat(spec),
    }
    with open_run(out, Manifest("study", RECIPE_VERSION, identity, facts), fresh) as run:
        clock = _Clock(effort.minutes, observer)
        if not _walk(bench, recipe.pilot(bench), clock):
            return None
        bench = replace(bench, smallest=_stated(run, bench, recipe))
        if not _walk(bench, recipe.steps(bench), clock):
            return None
        report = _told(run, bench, recipe)
        _finish(run, bench, recipe, report)
    return report


def plan_study(name: str, spec: StudySpec | None = None) -> StudyPlan:
    """List the steps and add up their cost; nothing is read or written."""
    spec = replace(spec or StudySpec(), study=name)
    recipe = study_of(name)
    bench: Bench[Any] = Bench(Path("OUT"), recipe.scales[spec.scale], spec, planned=True)
    steps = [*recipe.pilot(bench), *recipe.steps(bench)]
    work = sum(step.work for step in steps)
    device = bench.scale.device or "one core"
    return StudyPlan(
        name, spec.scale, recipe.question, len(bench.seeds), _counted(steps), work, device,
        work / (CORE if device == "one core" else GPU), _settings(bench),
    )  # fmt: skip


class _Clock:
    """How long steps take, and whether there is time for one more."""

    def __init__(self, minutes: float | None, observer: Observer) -> None:
        self.end = None if minutes is None else time.monotonic() + 60 * minutes
        self.observer = observer
        self.longest: dict[str, float] = {}

    def allows(self, step: Step) -> bool:
        """The first step of a kind is tried; others begin where the longest of their kind would end in time."""
        return self.end is None or time.monotonic() + self.longest.get(step.verb, 0.0) <= self.end


def _walk(bench: Bench[Any], steps: Iterator[Step], clock: _Clock) -> bool:
    """Do what has not been done. False: there was no time for the next step."""
    wanted = list(steps)
    for number, step in enumerate(wanted):
        clock.observer.update(Progress("study", fraction=number / len(wanted), shards=number))
        if bench.done(step.name):
            continue
        if not clock.allows(step):
            left = sum(not bench.done(one.name) for one in wanted)
            clock.observer.note(f"no time for {step.name}: {left:,} of {len(wanted):,} steps of this part are left")
            return False
        break_seal(bench.out)
        clock.observer.note(f"{number + 1}/{len(wanted)} {step.verb}: {step.name}")
        began = time.monotonic()
        step.act(bench.place(step.name))
        clock.longest[step.verb] = max(clock.longest.get(step.verb, 0.0), time.monotonic() - began)
        if not bench.done(step.name):
            return False
    return True


def _stated(run: Run, bench: Bench[Any], recipe: Study[Any]) -> dict[str, float]:
    """The smallest effects, written into the manifest before anything but the control has run; they stay as they are."""
    if "smallest" not in run.manifest.decided:
        found = {name: detectable(list(values)) for name, values in recipe.null(bench).items()}
        run.decide("smallest", {name: value if value < float("inf") else None for name, value in found.items()})
    decided: Any = run.manifest.decided["smallest"]
    return {name: float("inf") if value is None else float(value) for name, value in decided.items()}


def _told(run: Run, bench: Bench[Any], recipe: Study[Any]) -> StudyReport:
    found = recipe.findings(bench)
    verdict, sentence = verdict_of(found.claims)
    notes = list(found.notes)
    if len(bench.seeds) < FEWEST:
        notes.append(f"{len(bench.seeds)} seeds resolve nothing: no spread can be told from fewer than {FEWEST}.")
    return StudyReport(
        study=recipe.name,
        title=recipe.title,
        question=recipe.question,
        source=recipe.source,
        scale=bench.spec.scale,
        seeds=len(bench.seeds),
        run=run.name,
        verdict=verdict,
        sentence=sentence,
        claims=found.claims,
        tables=found.tables,
        settings=_settings(bench),
        notes=tuple(notes),
        steps=_counted([*recipe.pilot(bench), *recipe.steps(bench)]),
        pictures=found.pictures,
    )


def _finish(run: Run, bench: Bench[Any], recipe: Study[Any], report: StudyReport) -> None:
    """The page, and a seal that names the seals of all steps, so that what they are sealed with is part of it."""
    steps = [*recipe.pilot(bench), *recipe.steps(bench)]
    places = [bench.place(step.name) / FOLDER / SEAL for step in steps]
    places += sorted((run.out / DRAWN).glob("*"))
    pages = {
        "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
        "report.html": study_page(report).encode("utf-8", "replace"),
        "config.yaml": yaml_config(run.manifest),
    }
    seal(run, {}, pages, None, {str(path.relative_to(run.out)): file_sha256(path) for path in places})


def _settings(bench: Bench[Any]) -> dict[str, str]:
    """The set-up in words."""
    told = {"scale": bench.spec.scale, "seeds": str(len(bench.seeds)), "prior": bench.prior}
    for name, value in flat(bench.scale).items():
        if name == "files":
            for role, paths in _files(bench).items():
                told[role.replace("_", " ")] = ", ".join(_short(p) for p in paths) or "to be given"
        elif name not in (*told, *COSTS) and value not in (None, "", []):
            told[name.replace("_", " ")] = f"{value:,}" if isinstance(value, int) else str(value)
    return told


def _files(bench: Bench[Any]) -> Mapping[str, tuple[str, ...]]:
    given = bench.spec.given
    return {role: given.get(role) or names for role, names in bench.scale.files.items() if role in bench.roles}


def _short(path: str) -> str:
    return Path(path.rpartition("=")[2]).name


def _counted(steps: list[Step]) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in steps:
        found[step.verb] = found.get(step.verb, 0) + 1
    return found


def _identity(file: Any) -> dict[str, JSON]:
    found: Any = identity_of(file)
    return dict(found)
