"""Does an audit hold what it says? Known cases on real text, and how often the verdict is right.

python studies/audit_calibration/run.py DATA [--part null|power|diluted|sizes|shift|llm|edited|small]... [--minutes 8]
    [--written DIR] [--where domain=fiction]...

DATA is a folder of human and synthetic JSON lines. Every case goes through the samples, the matching, the chain and the
verdict of `audit`, without the run folder around it. A finished case is a line of trials.jsonl beside this file, so the study
can be stopped at any time and goes on where it was; --minutes stops it. Several processes may work on it, each on its own
cases (--where). results.json is made of all lines that are there.
Intervals are Clopper-Pearson's. DIR holds texts that other scripts wrote: edited.py (our own edits), small.py (chains of small
language models).
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pools
from rates import summary

from recension.methods.audit.panel import Unit, panel_of, units_of
from recension.methods.audit.resampling import match
from recension.methods.audit.verdict import Verdict

HERE = Path(__file__).parent
TRIALS, RESULTS = HERE / "trials.jsonl", HERE / "results.json"
SMALL = ("biomed_abstracts", "web")  # too few words for 100,000 on both sides
MIDDLE = ("broadcast_news", "encyclopedia", "gov_speeches", "math_word_problems", "textbook")
LARGE = (
    "fiction", "fiction_more", "technical_proposals", "textbook_openstax", "finance_news", "consumer_health", "reviews",
    "cot_instructions",
)  # fmt: skip
CHAINED = ("fiction", "technical_proposals", "textbook_openstax", "reviews", "finance_news")
NULL = ((20_000, (*LARGE, *MIDDLE, *SMALL), 14), (100_000, (*LARGE, *MIDDLE), 5), (500_000, LARGE, 5))
CHAINS, BUDGET, DRAWS = 20, 100_000, 60
LARGER = 6
DILUTED, SHARES = 4, (0.1, 0.25, 0.5, 1.0)
BLOCK = 5  # seeds of one domain that are done in a row, before the next domain has its turn


class Case(NamedTuple):
    part: str
    key: dict[str, Any]
    judged: Callable[[], list[tuple[dict[str, Any], Verdict, int]]]


def told(key: dict[str, Any], found: Verdict, words: int) -> dict[str, Any]:
    return {
        **key,
        "level": found.level,
        "words": words,
        "generations": None if found.median is None else round(found.median, 2),
        "families": {f.name: [round(f.value, 2), round(f.low, 2), round(f.high, 2), f.state] for f in found.families},
        "needed": found.needed,
    }


# --- the parts --------------------------------------------------------------------------------------------------------


def null(given: argparse.Namespace) -> Iterator[Case]:
    """Human against human, split by source."""

    def one(domain: str, budget: int, seed: int) -> list[tuple[dict[str, Any], Verdict, int]]:
        panel = pools.pool(given.data, f"human/{domain}.train", max(300_000, int(2.6 * budget)))
        some = [pools.first(side, int(budget * 1.02)) for side in pools.halves(panel, seed)]
        return [({}, *pools.verdict(pools.selected(panel, some), budget, DRAWS, seed))]

    for start in range(0, max(count for _, _, count in NULL), BLOCK):
        for budget, domains, count in NULL:
            for domain in domains:
                for seed in range(start, min(start + BLOCK, count)):
                    key = {"budget": budget, "domain": domain, "seed": seed}
                    yield Case("null", key, lambda d=domain, b=budget, s=seed: one(d, b, s))


def power(given: argparse.Namespace) -> Iterator[Case]:
    """Chains of one half against the other half, audited whole."""

    def one(domain: str, seed: int) -> list[tuple[dict[str, Any], Verdict, int]]:
        panel = pools.pool(given.data, f"human/{domain}.train", 4 * BUDGET)
        some = [pools.first(side, int(BUDGET * 1.02)) for side in pools.halves(panel, seed)]
        panel = pools.selected(panel, some)
        reference, start = panel.sides
        curve = pools.curve_of(match(panel, BUDGET), seed)
        found = []
        for number, made in enumerate(pools.written(panel, start, 100 + seed), 1):
            both = pools.against(panel, reference, made)
            found.append(({"generation": number}, *pools.verdict(both, BUDGET, DRAWS, seed, curve)))
        return found

    for start in range(0, CHAINS, BLOCK):
        for domain in CHAINED:
            for seed in range(start, start + BLOCK):
                yield Case("power", {"domain": domain, "seed": seed}, lambda d=domain, s=seed: one(d, s))


def diluted(given: argparse.Namespace) -> Iterator[Case]:
    """Human text of which a share is the first generation of a chain: how little is noticed?"""

    def one(domain: str, share: float, seed: int) -> list[tuple[dict[str, Any], Verdict, int]]:
        panel = pools.pool(given.data, f"human/{domain}.train", 4 * BUDGET)
        some = [pools.first(side, int(BUDGET * 1.02)) for side in pools.halves(panel, seed)]
        panel = pools.selected(panel, some)
        reference, start = panel.sides
        own, made = pools.tokens(panel, start), pools.written(panel, start, 100 + seed, 1)[0]
        kept = round((1 - share) * len(own))
        both = pools.against(panel, reference, [*own[:kept], *made[kept:]])
        return [({}, *pools.verdict(both, BUDGET, DRAWS, seed))]

    for seed in range(DILUTED):
        for domain in CHAINED:
            for share in SHARES:
                key = {"domain": domain, "share": share, "seed": seed}
                yield Case("diluted", key, lambda d=domain, q=share, s=seed: one(d, q, s))


def sizes(given: argparse.Namespace) -> Iterator[Case]:
    """A chain that is larger than what is audited of it: what a sample of it shows, and all of it."""

    def one(domain: str, audited: int) -> list[tuple[dict[str, Any], Verdict, int]]:
        whole = LARGER * BUDGET // 2
        panel = pools.pool(given.data, f"human/{domain}.train", 1_300_000)
        some = [pools.first(side, int(whole * 1.02)) for side in pools.halves(panel, 0)]
        panel = pools.selected(panel, some)
        reference, start = panel.sides
        curve, found = None, []
        for number, made in enumerate(pools.written(panel, start, 7), 1):
            both = pools.against(panel, pools.first(reference, int(audited * 1.02)), made)
            both = pools.selected(both, [both.sides[0], pools.first(both.sides[1], int(audited * 1.02))])
            if curve is None:
                curve = pools.curve_of(match(both, audited), 0)
            found.append(({"generation": number}, *pools.verdict(both, audited, DRAWS, 0, curve)))
        return found

    for domain in CHAINED:
        for audited in (BUDGET // 2, LARGER * BUDGET // 2):
            key = {"domain": domain, "chain": LARGER * BUDGET // 2, "budget": audited}
            yield Case("sizes", key, lambda d=domain, a=audited: one(d, a))


def shift(given: argparse.Namespace) -> Iterator[Case]:
    """Human text of another domain, both ways."""
    sides: dict[str, list[Unit]] = {}

    def units(domain: str) -> list[Unit]:
        if domain not in sides:
            sides[domain] = pools.units(pools.read(given.data, f"human/{domain}.train"), int(BUDGET * 1.02))
        return sides[domain]

    def one(left: str, right: str) -> list[tuple[dict[str, Any], Verdict, int]]:
        return [({}, *pools.verdict(panel_of([units(left), units(right)]), BUDGET, DRAWS))]

    for left in CHAINED:
        for right in CHAINED:
            if left != right:
                yield Case("shift", {"case": f"{right} against {left}"}, lambda a=left, b=right: one(a, b))


TEXTS = (
    ("human/textbook_openstax.train", "synthetic/textbook_mistral7b.train"),
    ("human/textbook_openstax.train", "synthetic/textbook_gpt4.train"),
    ("human/cot_instructions.train", "synthetic/alpaca_gpteacher_codealpaca"),
)
PAIRED = (
    ("fast_detect_open_models", "human", "machine", "model"),
    ("outfox_essays_valid", "human", "machine", "model"),
    ("detectrl_quads_news_stories", "human", "machine", "model"),
    ("detectrl_quads_news_stories", "human", "human_polished", None),
    ("detectrl_quads_news_stories", "human", "human_dipper", None),
    ("detectrl_quads_news_stories", "human", "human_backtranslated", None),
    ("mixset_edits", "original", "edited", "operation"),
)


def llm(given: argparse.Namespace) -> Iterator[Case]:
    """Text of language models, whatever comes of it. Pairs are compared as pairs."""

    def unpaired(left: Sequence[Unit], right: Sequence[Unit]) -> list[tuple[dict[str, Any], Verdict, int]]:
        return [({}, *pools.verdict(panel_of([left, right]), BUDGET, DRAWS))]

    def paired(rows: pools.Rows, keys: tuple[str, str]) -> list[tuple[dict[str, Any], Verdict, int]]:
        return [({}, *pools.verdict(panel_of(pools.pairs(rows, keys, BUDGET)), BUDGET, DRAWS, paired=True))]

    for left, right in TEXTS:
        yield Case(
            "llm",
            {"case": f"{right} against {left}"},
            lambda a=left, b=right: unpaired(*(pools.units(pools.read(given.data, n), BUDGET) for n in (a, b))),
        )
    for name, human, machine, by in PAIRED:
        rows = pools.read(given.data, f"paired/{name}")
        if name == "mixset_edits":
            rows = [row for row in rows if row["original_is"] == "human"]
        for kind in sorted({str(row[by]) for row in rows}) if by else [""]:
            some = [row for row in rows if not by or str(row[by]) == kind]
            key = {"case": f"{name}: {machine} against {human}{f', {kind}' if kind else ''}"}
            yield Case("llm", key, lambda r=some, k=(human, machine): paired(r, k))
    rows = pools.read(given.data, "synthetic/instruction_responses_12models")
    for model in sorted({row["model"] for row in rows}):
        own, others = ([r for r in rows if (r["model"] == model) is mine] for mine in (True, False))
        yield Case(
            "llm",
            {"case": f"12 models: {model} against the other eleven"},
            lambda a=others, b=own: unpaired(pools.units(a, BUDGET), pools.units(b, BUDGET)),
        )


def edited(given: argparse.Namespace) -> Iterator[Case]:
    """Texts that our own `edit` changed, against their originals as pairs and against other text as `audit` meets them."""
    for path in sorted(given.written.glob("edited-*.jsonl.gz")) if given.written else ():
        _, domain, share = path.name.removesuffix(".jsonl.gz").split("-")

        def one(file: Path = path, domain: str = domain) -> list[tuple[dict[str, Any], Verdict, int]]:
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                rows = [json.loads(line) for line in lines]
            both = panel_of(pools.pairs(rows, ("original", "text"), BUDGET))
            sources = {pools.source(row) for row in rows}
            other = [r for r in pools.read(given.data, f"human/{domain}.train") if pools.source(r) not in sources]
            apart = panel_of([pools.units(other, BUDGET), pools.units(rows, BUDGET)])
            return [
                ({"against": "originals"}, *pools.verdict(both, BUDGET, DRAWS, paired=True)),
                ({"against": "other texts"}, *pools.verdict(apart, BUDGET, DRAWS)),
            ]

        yield Case("edited", {"domain": domain, "changed": share}, one)


def small(given: argparse.Namespace) -> Iterator[Case]:
    """Chains of small language models: each was trained on what the one before it wrote."""
    for path in sorted(given.written.glob("small-*.json.gz")) if given.written else ():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            sides = json.load(lines)["sides"]

        def one(number: int, sides: Any = sides) -> list[tuple[dict[str, Any], Verdict, int]]:
            panel = panel_of(
                [
                    [u for name, text in part for u in units_of(text, name, pools.UNIT)]
                    for part in (sides[0], sides[1 + number])
                ]
            )
            return [({}, *pools.verdict(panel, min(BUDGET, *(part.words for part in panel.sides)), DRAWS))]

        _, domain, seed, start, top_p = path.name.removesuffix(".json.gz").split("-")
        for number in range(len(sides) - 1):
            key = {"domain": domain, "start": start, "top_p": float(top_p), "seed": int(seed), "generation": number}
            yield Case("small", key, partial(one, number))


PARTS = {
    "null": null,
    "power": power,
    "diluted": diluted,
    "sizes": sizes,
    "shift": shift,
    "llm": llm,
    "edited": edited,
    "small": small,
}


def known() -> list[dict[str, Any]]:
    return [json.loads(line) for line in TRIALS.read_text().splitlines()] if TRIALS.is_file() else []


def about() -> dict[str, Any]:
    """How trials are made, and how many are planned."""
    planned = {str(budget): len(domains) * count for budget, domains, count in NULL}
    planned["power"] = len(CHAINED) * CHAINS
    return {"budget": BUDGET, "draws": DRAWS, "unit": pools.UNIT, "planned": planned}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", action="append", choices=sorted(PARTS))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--written", type=Path)
    parser.add_argument("--where", action="append", default=[])
    given = parser.parse_args()
    until = time.monotonic() + 60 * given.minutes
    names = {
        "null": ("budget", "domain", "seed"),
        "power": ("domain", "seed"),
        "small": ("domain", "start", "top_p", "seed", "generation"),
    }
    names |= {"sizes": ("domain", "chain", "budget"), "edited": ("domain", "changed")}
    names |= {"diluted": ("domain", "share", "seed")}
    done = {
        (line["part"], *(str(line[name]) for name in names.get(line["part"], ("case",)))) for line in known()
    }  # fmt: skip
    left = 0
    for part in given.part or PARTS:
        for case in PARTS[part](given):
            if (case.part, *(str(value) for value in case.key.values())) in done:
                continue
            wanted = [part.split("=") for part in given.where]
            if any(str(case.key.get(name, value)) != value for name, value in wanted):
                continue
            if time.monotonic() > until:
                left += 1
                continue
            began = time.process_time()
            lines = [{"part": case.part, **told({**case.key, **more}, *found)} for more, *found in case.judged()]
            spent = round((time.process_time() - began) / max(1, len(lines)), 2)
            lines = [{**line, "cpu_seconds": spent} for line in lines]
            with TRIALS.open("a") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
            print(case.part, case.key, [line["level"] for line in lines], flush=True)
    RESULTS.write_text(json.dumps(summary(known(), about()), indent=1) + "\n")
    print(f"{left} cases left", flush=True)


if __name__ == "__main__":
    main()
