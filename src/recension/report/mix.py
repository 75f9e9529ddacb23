"""What a mixture came to: values, page, and the lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from recension.report.page import (
    asset,
    closing,
    counted,
    escape,
    figures,
    masthead,
    number,
    opening,
    percent,
    printable,
    table,
)
from recension.report.plots import Labels
from recension.report.stacks import bar_chart, stacked


@dataclass(frozen=True, slots=True)
class MixedSource:
    """One source of a mixture.

    `planned` tokens were asked, `tokens` are written; `pool` is what it may be drawn from (what is not held out, up to its
    cap) and `repeats` how often that was read. `cut` names documents that were cut to meet the plan. Where `estimated`, `held`,
    `pool` and `repeats` are about so: not all of a source was counted that is much larger than what is drawn of it.
    """

    name: str
    held: int
    pool: int
    planned: int
    tokens: int
    share: float
    repeats: float
    documents: int
    unique: int
    cut: tuple[str, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    holdout_documents: int = 0
    holdout_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class MixReport:
    """What is in a mixture. `kinds` and `generations` are tokens, by origin and by model steps since a person."""

    title: str
    run: str
    tokenizer: str
    preset: str | None
    planned: int
    tokens: int
    documents: int
    unique: int
    sources: tuple[MixedSource, ...]
    kinds: Mapping[str, int]
    generations: Mapping[str, int]
    holdout_documents: int
    holdout_tokens: int
    holdout_kinds: Mapping[str, int]
    dropped: Mapping[str, int]
    settings: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """`sources` by name; shares of kinds beside their tokens. The schema is described in docs/mix.md."""
        raw: dict[str, Any] = asdict(self)
        raw["sources"] = {
            source.name: {k: v for k, v in asdict(source).items() if k != "name"} for source in self.sources
        }
        raw["shares"] = {kind: tokens / max(self.tokens, 1) for kind, tokens in self.kinds.items()}
        raw["depth"] = self.depth
        return raw

    @property
    def depth(self) -> float | None:
        """The mean number of model steps behind a token, of those of which it is known; None: of none."""
        known = {int(age): tokens for age, tokens in self.generations.items() if age.isdigit()}
        return sum(age * tokens for age, tokens in known.items()) / sum(known.values()) if known else None


def mix_report_from_json(raw: Mapping[str, Any]) -> MixReport:
    """The report of a `report.json`."""
    sources = tuple(
        MixedSource(name=name, **{**source, "cut": tuple(source["cut"])}) for name, source in raw["sources"].items()
    )
    kept = {name: value for name, value in raw.items() if name not in ("shares", "depth", "sources", "notes")}
    return MixReport(**kept, sources=sources, notes=tuple(raw["notes"]))


def sentence(report: MixReport) -> str:
    sources, documents = counted(len(report.sources), "source"), counted(report.documents, "document")
    said = f"{number(report.tokens)} tokens of {sources} in {documents}"
    missed = report.tokens - report.planned
    exact = (
        ", exactly as planned" if not missed else f", {abs(missed):,} {'more' if missed > 0 else 'fewer'} than planned"
    )
    held = f"; {counted(report.holdout_documents, 'document')} held out" if report.holdout_documents else ""
    return f"{said}{exact}{held}."


def _about(source: MixedSource) -> str:
    return "about " if source.estimated else ""


def origins(report: MixReport) -> str:
    found = [f"{kind} {percent(tokens, report.tokens)}" for kind, tokens in report.kinds.items()]
    known = "" if report.depth is None else f"; generation depth {report.depth:.2f} on average"
    return ", ".join(found) + known


def mix_summary_lines(report: MixReport) -> list[str]:
    """The result for a terminal."""
    wide = max(len(source.name) for source in report.sources)
    lines = [sentence(report)]
    for s in report.sources:
        line = f"  {s.name:<{wide}}  {number(s.tokens):>13} tokens  {percent(s.share, 1.0):>6}"
        line += f"  read {_about(s)}{s.repeats:.3g}x"
        lines.append(line + ("" if s.tokens == s.planned else f"  (planned {number(s.planned)})"))
    lines.append(f"  origin: {origins(report)}")
    return printable([*lines, *(f"  {note}" for note in report.notes)])


def mix_page(report: MixReport) -> str:
    """`report.html` of a mixture."""
    items = [
        ("Tokens", number(report.tokens), f"of {report.tokenizer}"),
        ("Off the plan", f"{report.tokens - report.planned:+,}" if report.tokens != report.planned else "0", "tokens"),
        ("Documents", number(report.documents), f"{number(report.unique)} different ones"),
        ("Held out", number(report.holdout_documents), f"documents, {number(report.holdout_tokens)} tokens"),
        ("Human", percent(report.kinds.get("human", 0), report.tokens), "of the tokens"),
        ("Made by models", percent(_made(report.kinds), report.tokens), "edited, rewritten or generated"),
        ("Unknown", percent(report.kinds.get("unknown", 0), report.tokens), "which is not human"),
        ("Depth", "–" if report.depth is None else f"{report.depth:.2f}", "model steps behind a token, where known"),
    ]
    parts = ['<div class="wrap">\n', masthead(f"recension mix · run {report.run}", report.title, sentence(report))]
    parts.append(f'<main>\n<section aria-label="In numbers">{figures(items)}</section>\n')
    parts.append(f'<section><div class="plots">{_plots(report)}</div></section>\n')
    parts.append(f"<section>{_sources(report.sources)}{_TERMS}</section>\n")
    if report.holdout_documents:
        parts.append(f"<section>{_holdout(report)}</section>\n")
    if report.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
        parts.append(f"<section><h2>To know</h2><ul>{notes}</ul></section>\n")
    if report.dropped:
        lost = [(reason, number(n)) for reason, n in report.dropped.items()]
        parts.append(f"<section>{table('Not in the mixture, by reason', ('Reason', 'Rows'), lost)}</section>\n")
    settings = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{settings}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title, asset("mix.css")) + "".join(parts) + closing()


def _made(kinds: Mapping[str, int]) -> int:
    return sum(tokens for kind, tokens in kinds.items() if kind not in ("human", "unknown"))


def _sources(sources: Sequence[MixedSource]) -> str:
    head = ("Source", "Planned", "Achieved", "Off", "Share", "Holds", "Read", "Documents", "Different")
    rows = [
        (
            s.name, number(s.planned), number(s.tokens), f"{s.tokens - s.planned:+,}" if s.tokens != s.planned else "0",
            percent(s.share, 1.0), _about(s) + number(s.pool), f"{_about(s)}{s.repeats:.3g} times",
            number(s.documents), number(s.unique),
        )
        for s in sources
    ]  # fmt: skip
    return table("Sources, in tokens", head, rows)


_TERMS = """<p class="terms">Achieved is counted in what was written. Holds is what may be drawn: what is not held out, up
to the cap of the source. Read is achieved over that.</p>
"""


def _holdout(report: MixReport) -> str:
    rows = [(s.name, number(s.holdout_documents), number(s.holdout_tokens)) for s in report.sources]
    found = table("Held out, by lineage", ("Source", "Documents", "Tokens"), rows)
    return found + '<p class="terms">An original and all that was made of it stand on one side.</p>\n'


def _plots(report: MixReport) -> str:
    names = [s.name for s in report.sources]
    rows = {"planned": [s.planned for s in report.sources], "achieved": [s.tokens for s in report.sources]}
    found = stacked(rows, names, Labels("Tokens by source", "share of the mixture (%)", ""))
    kinds = list(report.kinds)
    origin = {"mixture": [report.kinds[kind] for kind in kinds]}
    if report.holdout_documents:
        kinds += [kind for kind in report.holdout_kinds if kind not in kinds]
        origin = {"mixture": [report.kinds.get(kind, 0) for kind in kinds]}
        origin["held out"] = [report.holdout_kinds.get(kind, 0) for kind in kinds]
    found += stacked(origin, kinds, Labels("Tokens by origin", "share of the tokens (%)", ""))
    repeats = {s.name: s.repeats for s in report.sources}
    found += bar_chart(repeats, Labels("How often each source is read", "times", ""))
    whole = max(report.tokens, 1)
    steps = {age: counted(int(age), "step") if age.isdigit() else age for age in report.generations}
    depth = {steps[age]: 100 * n / whole for age, n in report.generations.items()}
    return found + bar_chart(depth, Labels("Tokens by model steps since a person", "share of the mixture (%)", ""))
