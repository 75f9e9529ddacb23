"""`simulate text`: the policies on a corpus of one's own, generation by generation, each as a pass of a run."""

from __future__ import annotations

import operator
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from recension import __version__
from recension.corpus import Corpus, open_corpus
from recension.document import JSON
from recension.engines.local import LocalEngine
from recension.errors import InputError
from recension.methods.audit.measures import KINDS, NAMES
from recension.methods.seeds import spread
from recension.methods.simulate.costs import cost
from recension.recipes.audit.spec import AuditEffort
from recension.recipes.audit.stages import Bench, Chunk, Chunks
from recension.recipes.pages import as_inputs, encodable, identity_of, look_over, reading_of, yaml_config
from recension.recipes.settings import flat
from recension.recipes.simulate.generation import (
    Arm,
    GenerationTask,
    Plan,
    State,
    frame,
    human,
    pass_name,
    place_of,
)
from recension.recipes.simulate.learners import Learner, NgramLearner, TinyLearner
from recension.recipes.simulate.pool import Wanted, gather, merge, pool_of
from recension.recipes.simulate.spec import SimulateTextSpec
from recension.report.simulate_text import ArmCurves, SimulateTextReport, text_page
from recension.report.values import Measured
from recension.run import folder
from recension.run.execute import seal, totals
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.passes import Pass, run_pass
from recension.run.progress import Observer, Silent

RECIPE_VERSION = 1
LETTERS = 5  # characters of a token, more than there mostly are
LONGEST = {"ngram": 2_000, "tiny": 700}  # characters of a passage: the transformer has to hold it in its context
HELD = 400_000  # characters held out, at most
FEWEST = 1_000  # tokens that a seed has to learn from


def simulate_text(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: SimulateTextSpec | None = None,
    effort: AuditEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> SimulateTextReport:
    """Play policies through on a corpus, into a run folder. A second call does what is missing."""
    spec, effort, observer = spec or SimulateTextSpec(), effort or AuditEffort(), observer or Silent()
    out = output_path(out)
    corpus = open_corpus(as_inputs(inputs), reading_of(spec.rows), exclude=out)
    look_over(corpus, observer)
    with open_run(out, _manifest(spec, corpus, as_inputs(inputs)), fresh) as run:
        wanted = _wanted(spec)
        gather(run, corpus, wanted, effort.workers, (spec.limit, effort.max_dropped), observer)
        plan = _plan(run, spec)
        _once(run, "pool", lambda: merge(run.out, wanted))
        _once(run, "tokenizer", lambda: _tokenizer(plan))
        _check_enough(plan, spec)
        bench = Bench(run, effort.workers, observer)
        for generation in range(1, spec.generations + 1):
            pieces = spec.seeds * (len(plan.arms) if generation > 1 else 1)
            task = GenerationTask(plan, generation)
            bench.done(Pass(pass_name(generation), [], task, operator.add), pieces, 1)
        report = report_of(run, spec, plan)
        pages = {
            "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
            "report.html": text_page(report).encode("utf-8", "replace"),
            "config.yaml": yaml_config(run.manifest),
        }
        seal(run, corpus.digests, pages, spec.limit)
    return report


@dataclass(frozen=True)
class _Made:
    """What one thing comes to, as the one piece of a pass."""

    make: Callable[[], bytes]

    def __call__(self, _: Chunk) -> bytes:
        return self.make()


def _once(run: Run, name: str, make: Callable[[], bytes]) -> None:
    run_pass(run, Pass(name, [], _Made(make), operator.add), LocalEngine(1), Chunks(1, 1))


def _wanted(spec: SimulateTextSpec) -> Wanted:
    learnt = 2 * LETTERS * spec.budget  # a seed draws a half of it
    return Wanted(learnt, min(HELD, learnt), LONGEST[spec.model], spec.holdout, spec.group_key, spec.seed)


def _plan(run: Run, spec: SimulateTextSpec) -> Plan:
    learner: Learner = NgramLearner(spec.order, spec.vocabulary)
    if spec.model == "tiny":
        learner = TinyLearner(spec.preset, spec.vocabulary, int(spec.epochs * spec.budget))
    return Plan(
        out=run.out,
        key=run.key,
        arms=_arms(spec),
        learner=learner,
        budget=spec.budget,
        threshold=spec.threshold,
        decay=spec.decay,
        seed=spec.seed,
        last=spec.generations,
    )


def _arms(spec: SimulateTextSpec) -> tuple[Arm, ...]:
    """Each policy; those that edit once for every share. With a threshold there is one share, whatever it comes to."""
    shares = spec.shares if spec.threshold is None else (spec.threshold,)
    return tuple(
        arm
        for policy in spec.policy
        for arm in ([Arm(policy, share) for share in shares] if policy in ("chain", "anchor") else [Arm(policy)])
    )


def _tokenizer(plan: Plan) -> bytes:
    texts = [text for _, text in pool_of(place_of(plan, "pool"), plan.key).learnt]
    scratch = plan.out / folder.SCRATCH / "tokenizer"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return msgspec.msgpack.encode(plan.learner.tokenizer(texts, scratch))


def _check_enough(plan: Plan, spec: SimulateTextSpec) -> None:
    tokens = sum(human(plan, 0).lengths)
    held = pool_of(place_of(plan, "pool"), plan.key).held
    if tokens < FEWEST or not held:
        raise InputError(
            f"there are {tokens:,} tokens to learn from and {len(held):,} passages held out: a simulation needs "
            f"{FEWEST:,} and 1 at least; give it more text, or more texts that can be held apart (--holdout {spec.holdout:g})"
        )


def _manifest(spec: SimulateTextSpec, corpus: Corpus, given: list[str]) -> Manifest:
    identity: dict[str, JSON] = {
        "spec": {name: value for name, value in flat(spec).items() if not _unused(spec, name)},
        "inputs": [identity_of(file) for file in corpus.files],
        "layout": corpus.layout.to_json(),
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in corpus.files},
        "config": flat(spec),
    }
    return Manifest("simulate-text", RECIPE_VERSION, identity, facts)


def _unused(spec: SimulateTextSpec, name: str) -> bool:
    """Settings of the model that is not trained."""
    return name in (("preset", "epochs") if spec.model == "ngram" else ("order",))


# --- the report -------------------------------------------------------------------------------------------------------


def report_of(run: Run, spec: SimulateTextSpec, plan: Plan) -> SimulateTextReport:
    first = [frame(place_of(plan, pass_name(1)), seed) for seed in range(spec.seeds)]
    arms = []
    for number, arm in enumerate(plan.arms):
        states = [_states(plan, first[seed], number, seed) for seed in range(spec.seeds)]
        bits = [[state.figures["bits_per_byte"] for state in row] for row in states]
        edits = [_edits(arm, row) for row in states]
        paid = cost(bits)
        arms.append(
            ArmCurves(
                policy=arm.policy,
                share=arm.share,
                bits=tuple(Measured(*spread(column)) for column in zip(*bits, strict=True)),
                seeds=tuple(map(tuple, bits)),
                cost=Measured(*paid.total),
                growth=Measured(*paid.growth),
                state=paid.state,
                changed=tuple(Measured(*spread(column)) for column in zip(*edits, strict=True)) if arm.edits else (),
                contraction=_contraction(states),
            )
        )
    pool = pool_of(place_of(plan, "pool"), plan.key)
    sizes = [human(plan, seed) for seed in range(spec.seeds)]
    settings = {name.replace("_", " "): _shown(value) for name, value in flat(spec).items() if value is not None}
    return SimulateTextReport(
        run=run.name,
        settings={name: value for name, value in settings.items() if not _unused(spec, name)},
        model=f"{spec.order}-gram model" if spec.model == "ngram" else f"{spec.preset} transformer",
        generations=spec.generations,
        tokens=round(float(np.mean([sum(sample.lengths) for sample in sizes]))),
        passages=round(float(np.mean([len(sample.texts) for sample in sizes]))),
        held=len(pool.held),
        by_threshold=spec.threshold is not None,
        arms=tuple(arms),
        dropped=dict(totals(run.out).dropped),
    )


def _states(plan: Plan, first: State, number: int, seed: int) -> list[State]:
    """The states of one arm and seed, by generation."""
    later = (frame(place_of(plan, pass_name(n)), seed * len(plan.arms) + number) for n in range(2, plan.last + 1))
    return [first, *later]


def _edits(arm: Arm, states: Sequence[State]) -> list[float]:
    """The share that was changed after each generation but the last."""
    found = [state.figures["edits"] for state in states[:-1]]
    if arm.edits and found:
        found[0] = found[0][arm.source]
    return [edit["changed"] for edit in found] if arm.edits else []


def _contraction(states: Sequence[Sequence[State]]) -> dict[str, tuple[Measured, ...]]:
    """The mean effect of each family of figures by generation; 0 in the first, whose text is the human one."""
    rows = [[state.figures["effects"] or [0.0] * len(NAMES) for state in row] for row in states]
    families: dict[str, list[int]] = {}
    for i, name in enumerate(NAMES):
        families.setdefault(KINDS[name].family, []).append(i)
    table = np.array(rows)  # (seed, generation, figure)
    return {
        family: tuple(Measured(*spread(column.tolist())) for column in table[:, :, chosen].mean(axis=2).T)
        for family, chosen in families.items()
    }


def _shown(value: JSON) -> str:
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
