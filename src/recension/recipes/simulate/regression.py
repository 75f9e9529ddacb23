"""`simulate regression`: regressions in chunks, as a pass of a run; theory and theorems beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from recension import __version__
from recension.document import JSON
from recension.methods.simulate import theory
from recension.methods.simulate.regression import POLICIES, Design, Sums, added, expected, simulate, sums
from recension.recipes.audit.stages import Bench, Chunk
from recension.recipes.pages import yaml_config
from recension.recipes.settings import flat
from recension.recipes.simulate.spec import RegressionSpec, SimulateEffort
from recension.report.simulate import Claim, PolicyErrors, RegressionReport, judged, regression_page
from recension.run.execute import seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.passes import Pass
from recension.run.progress import Observer, Silent

RECIPE_VERSION = 1
PASS = "regressions"
AT_ONCE = 16  # chunks to a piece


@dataclass(frozen=True)
class RegressionTask:
    """Draws the regressions of some chunks. Picklable."""

    design: Design
    seeds: int
    seed: int

    def __call__(self, piece: Chunk) -> bytes:
        size = self.design.chunk()
        total: Sums | None = None
        for chunk in range(piece.start, piece.stop):
            found = sums(simulate(self.design, min(size, self.seeds - chunk * size), self.seed, chunk))
            total = found if total is None else added(total, found)
        assert total is not None  # a piece holds a chunk at least
        return _packed(total)


def _packed(total: Sums) -> bytes:
    return msgspec.msgpack.encode([total.drawn, total.total.tobytes(), total.squares.tobytes()])


def _unpacked(raw: bytes) -> Sums:
    count, total, squares = msgspec.msgpack.decode(raw)
    first, second = (np.frombuffer(part).reshape(len(POLICIES), -1) for part in (total, squares))
    return Sums(count, first, second)


def _merged(left: bytes, right: bytes) -> bytes:
    return _packed(added(_unpacked(left), _unpacked(right)))


def simulate_regression(
    out: str | Path,
    spec: RegressionSpec | None = None,
    effort: SimulateEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> RegressionReport:
    """Simulate regressions over generations, into a run folder. A second call does what is missing."""
    spec, effort, observer = spec or RegressionSpec(), effort or SimulateEffort(), observer or Silent()
    design = Design(spec.generations, spec.samples, spec.features, spec.share, spec.decay, spec.correlation)
    with open_run(output_path(out), _manifest(spec), fresh) as run:
        chunks = -(-spec.seeds // design.chunk())
        task = RegressionTask(design, spec.seeds, spec.seed)
        bench = Bench(run, effort.workers, observer)
        found = _unpacked(bench.done(Pass(PASS, [design.chunk()], task, _merged), chunks, AT_ONCE))
        report = report_of(run, spec, design, found)
        pages = {
            "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
            "report.html": regression_page(report).encode(),
            "config.yaml": yaml_config(run.manifest),
        }
        seal(run, {}, pages)
    return report


def _manifest(spec: RegressionSpec) -> Manifest:
    identity: dict[str, JSON] = {"spec": flat(spec)}
    facts: dict[str, JSON] = {"recension": __version__, "config": flat(spec)}
    return Manifest("simulate-regression", RECIPE_VERSION, identity, facts)


def report_of(run: Run, spec: RegressionSpec, design: Design, found: Sums) -> RegressionReport:
    told = expected(design)
    policies = tuple(
        PolicyErrors(
            name,
            tuple(found.mean[i].tolist()),
            tuple(found.standard_error[i].tolist()),
            None if told[name].here is None else tuple(told[name].here or ()),
            tuple(told[name].limit),
        )
        for i, name in enumerate(POLICIES)
    )
    settings = {
        name.replace("_", " "): f"{value:g}" for name, value in flat(spec).items() if isinstance(value, float | int)
    }
    return RegressionReport(
        run=run.name,
        settings=settings,
        generations=spec.generations,
        samples=spec.samples,
        features=spec.features,
        share=spec.share,
        decay=spec.decay,
        seeds=found.drawn,
        policies=policies,
        claims=tuple(_claims(design, {p.name: p for p in policies})),
    )


def _claims(design: Design, policies: dict[str, PolicyErrors]) -> list[Claim]:
    shares = {
        "chain": design.constant,
        "chain_decay": design.decaying,
        "chain_same_set": design.constant,
        "chain_disjoint": [design.disjoint_share] * (design.generations - 1),
    }
    claims = []
    for name, own in shares.items():
        p = policies[name]
        printed = theory.theorem_1(own)
        twice = [2.0] * design.generations
        claims.append(
            Claim("theorem_1", name, tuple(printed), tuple(judged(p.error, p.standard_error, printed, False)))
        )
        claims.append(Claim("theorem_2", name, tuple(twice), tuple(judged(p.error, p.standard_error, twice, True))))
    if design.decay < 1:
        p = policies["chain_decay"]
        bound = [theory.theorem_2(design.share, design.decay, design.samples, design.features)] * design.generations
        claims.append(
            Claim("theorem_2_decay", p.name, tuple(bound), tuple(judged(p.error, p.standard_error, bound, True)))
        )
    return claims
