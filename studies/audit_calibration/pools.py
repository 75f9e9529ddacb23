"""Domains as panels, numbered once, of which any split is a selection; and the verdict of `audit` on two selections."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.chain import generations
from recension.methods.audit.measures import KINDS, NAMES, effects, figures_of
from recension.methods.audit.panel import Panel, Side, Unit, panel_of, rewritten, units_of
from recension.methods.audit.resampling import Match, draw, left_out, match, observed, whole
from recension.methods.audit.sample import stretches
from recension.methods.audit.verdict import Evidence, Verdict, judge
from recension.methods.audit.words import SEEDS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

UNIT = 100
FAMILIES = tuple(kind.family for kind in KINDS.values())
GENERATIONS = 5


def read(data: Path, name: str) -> Rows:
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def source(row: dict[str, Any]) -> str:
    """The novel, proposal, module or site's page that a row is of."""
    name = str(row["id"]).split("#")[0]
    return name.rpartition("-")[0] if name.startswith("medquad") else name


def units(rows: Rows, words: int, key: str = "text", seed: int = 0) -> list[Unit]:
    """Passages of about so many words, drawn at random from all rows; each passage remembers its source."""
    passages = [(row, span) for row in rows if row.get(key) for span in stretches(row[key])]
    order = np.random.default_rng(seed).permutation(len(passages))
    found: list[Unit] = []
    total = 0
    for place in order.tolist():
        row, span = passages[place]
        for unit in units_of(row[key][span.start : span.end], source(row), UNIT):
            found.append(unit)
            total += len(unit.surfaces)
        if total >= words:
            break
    return found


def pairs(rows: Rows, keys: tuple[str, str], words: int, seed: int = 0) -> list[list[Unit]]:
    """Both texts of each row, row by row in random order, until the first side holds so many words."""
    found: list[list[Unit]] = [[], []]
    total = 0
    for place in np.random.default_rng(seed).permutation(len(rows)).tolist():
        row = rows[place]
        if all(row.get(key) for key in keys):
            for side, key in zip(found, keys, strict=True):
                side.extend(units_of(row[key], str(row["id"]), UNIT))
            total += len(row[keys[0]].split())
        if total >= words:
            break
    return found


@lru_cache(maxsize=1)
def pool(data: Path, name: str, words: int) -> Panel:
    """A domain, or a random part of it, as a panel of one side."""
    return panel_of([units(read(data, name), words)])


def halves(panel: Panel, seed: int) -> tuple[Side, Side]:
    """Random halves by source, the passages of each in random order."""
    side = panel.sides[0]
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(panel.clusters)) < len(panel.clusters) // 2
    left = chosen[side.clusters]
    parts = [np.flatnonzero(left), np.flatnonzero(~left)]
    return side.only(random.permutation(parts[0])), side.only(random.permutation(parts[1]))


def first(side: Side, words: int) -> Side:
    """The first passages that hold so many words."""
    return side.only(np.arange(min(len(side.starts), int(np.searchsorted(np.cumsum(side.sizes), words)) + 1)))


def selected(panel: Panel, sides: Sequence[Side]) -> Panel:
    """A panel of these units alone, its n-grams numbered anew so that nothing is counted that does not stand there."""
    sizes = np.concatenate([side.sizes for side in sides])
    starts = np.concatenate([side.starts for side in sides])
    ends = np.cumsum(sizes)
    at = np.repeat(starts - (ends - sizes), sizes) + np.arange(int(sizes.sum()))
    grams, kinds, kept = [], [], []
    for numbers in panel.grams:
        distinct, where = np.unique(numbers[at], return_inverse=True)
        none = int(distinct[0] == -1)
        grams.append((where - none).astype(np.int32))
        kinds.append(len(distinct) - none)
        kept.append(distinct[none:])
    buckets = np.concatenate([panel.buckets[:, kept[0]], panel.buckets[:, panel.kinds[0] + kept[1]]], axis=1)
    assert len(buckets) == SEEDS
    moved, begun = [], 0
    for side in sides:
        own = ends[begun : begun + len(side.sizes)] - side.sizes
        moved.append(Side(own, side.sizes, side.clusters, side.strata))
        begun += len(side.sizes)
    return replace(
        panel,
        tokens=panel.tokens[at],
        grams=tuple(grams),
        kinds=tuple(kinds),
        buckets=buckets,
        names=tuple(panel.names[i] for i in kept[0].tolist()),
        units=tuple(panel.units[panel.places[start]] for start in starts.tolist()),
        places={start: i for i, start in enumerate((ends - sizes).tolist())},
        sides=tuple(moved),
    )


def written(panel: Panel, side: Side, seed: int, count: int = GENERATIONS) -> list[list[Ints]]:
    """A chain of n-gram models that begins with this side."""
    return list(generations(panel, side, count, seed))


def tokens(panel: Panel, side: Side) -> list[Ints]:
    return [panel.tokens[a : a + n] for a, n in zip(side.starts.tolist(), side.sizes.tolist(), strict=True)]


def curve_of(found: Match, seed: int) -> Floats:
    """The collapse curve of the reference of a match, as `audit` makes it."""
    text = whole(found.left)
    side = Side(text.starts, text.sizes, np.zeros_like(text.starts), np.zeros_like(text.starts))
    own = tokens(found.panel, side)
    rows = []
    for made in generations(found.panel, side, GENERATIONS, seed + 1):
        both = rewritten(found.panel, [own, made])
        rows.append(effects(*figures_of(both, *(whole([s]) for s in both.sides))))
    return np.array(rows)


def verdict(
    panel: Panel, budget: int, draws: int, seed: int = 0, curve: Floats | None = None, paired: bool = False
) -> tuple[Verdict, int]:
    """The verdict on the second side of a panel against the first."""
    found = match(panel, budget, paired)
    drawn = draw(found, range(draws), seed)
    evidence = Evidence(
        NAMES,
        FAMILIES,
        effects(*observed(found)),
        drawn,
        curve_of(found, seed) if curve is None else curve,
        left_out(found),
    )
    return judge(evidence, found.words, sources=found.sources), found.words


def against(panel: Panel, reference: Side, candidate: list[Ints]) -> Panel:
    """A side of a panel and text that was written from the panel's words, as the two sides of another panel."""
    both = rewritten(panel, [tokens(panel, reference), candidate])
    names = panel.clusters
    known = replace(both.sides[0], clusters=reference.clusters)
    other = replace(both.sides[1], clusters=both.sides[1].clusters - len(both.sides[0].starts) + len(names))
    return replace(both, clusters=(*names, *map(str, range(len(other.starts)))), sides=(known, other))
