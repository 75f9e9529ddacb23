"""What a training did: its values, its page, its lines for a terminal, and the card of the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recension.report.card import code, plain
from recension.report.page import (
    closing,
    counted,
    escape,
    figures,
    masthead,
    number,
    opening,
    percent,
    printable,
    set_aside,
    set_aside_line,
    table,
)
from recension.report.plots import Labels, curve_chart

Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One source of the data: what it holds, and how much of it was read."""

    name: str
    documents: int
    tokens: int
    share: float
    rows_read: int
    epochs: float


@dataclass(frozen=True, slots=True)
class TrainReport:
    """`loss` is in nats per learnt token, `valid` holds (step, nats per token, bits per byte; 0 for answers alone).

    Speed (the median over the steps) and `mfu` (the share of the peak rate) are those of the last call.
    """

    verb: str
    run: str
    settings: Mapping[str, str]
    parameters: int
    trained: int
    steps: int
    done: int
    tokens: int
    sources: tuple[SourceReport, ...]
    dropped: Mapping[str, int]
    loss: Points
    rate: Points
    norm: Points
    valid: tuple[tuple[int, float, float], ...]
    tokens_per_second: float
    mfu: float
    peak: float
    peak_source: str
    devices: int
    machine: Mapping[str, str]

    @property
    def last_loss(self) -> float:
        """The mean of the last points of the curve."""
        last = [value for _, value in self.loss[-10:]]
        return sum(last) / len(last) if last else math.nan


VERBS = {"pretrain": "trained from scratch", "continue": "trained further", "sft": "fine-tuned"}


def sentence(report: TrainReport) -> str:
    """The result in one breath."""
    model = f"A model of {short(report.parameters)} parameters"
    if report.trained != report.parameters:
        model += f" ({short(report.trained)} of them trained)"
    if report.done < report.steps:
        return f"{model} is being {VERBS[report.verb]}: {number(report.done)} of {number(report.steps)} steps are done."
    end = f"Its loss is {report.last_loss:.3f} nats per token"
    if report.valid:
        _, nats, bits = report.valid[-1]
        end += f", on held-out text {nats:.3f}" + (f" ({bits:.3f} bits per byte)" if bits else "")
    return (
        f"{model} was {VERBS[report.verb]} on {short(report.tokens)} tokens in {counted(report.done, 'step')}. {end}."
    )


def short(value: float) -> str:
    """1234567 -> 1.2 million"""
    for size, name in ((1e9, " billion"), (1e6, " million")):
        if value >= size:
            return f"{value / size:.1f}{name}"
    return number(value)


def train_page(report: TrainReport) -> str:
    """`report.html` of a training."""
    title = {"pretrain": "Training", "continue": "Continued training", "sft": "Fine-tuning"}[report.verb]
    part = "" if report.trained == report.parameters else f"{short(report.trained)} trained"
    held, bits = ("–", "") if not report.valid else (f"{report.valid[-1][1]:.3f}", _bits(report.valid[-1][2]))
    items = [
        ("Parameters", short(report.parameters), part),
        ("Steps", number(report.done), f"of {number(report.steps)}"),
        ("Tokens", short(report.tokens), ""),
        ("Loss", f"{report.last_loss:.3f}", "nats per token"),
        ("Held out", held, bits),
        ("Speed", number(report.tokens_per_second), "tokens per second"),
        ("Share of the peak", percent(report.mfu, 1.0), report.peak_source),
        ("Set aside", number(sum(report.dropped.values())), "rows"),
    ]
    parts = [
        '<div class="wrap">',
        masthead(f"recension train {report.verb} · run {report.run}", title, sentence(report)),
        f'<main>\n<section aria-label="In numbers">{figures(items)}</section>\n',
        f'<section><div class="plots">{_plots(report)}</div></section>\n',
        f"<section>{_sources(report.sources)}{_TERMS}</section>\n",
    ]
    parts.append(set_aside(report.dropped))
    settings = [*report.settings.items(), *((f"machine: {k}", v) for k, v in report.machine.items())]
    parts.append(
        f'<section><div class="settings">{table("Settings", ("Name", "Value"), settings, texts=2)}</div></section>\n'
    )
    if report.done >= report.steps:
        parts.append(_NEXT)
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(title) + "".join(parts) + closing()


def _bits(value: float) -> str:
    return f"{value:.3f} bits per byte" if value else ""


def _plots(report: TrainReport) -> str:
    lines: dict[str, Sequence[tuple[float, float]]] = {"training": report.loss}
    if report.valid:
        lines["held out"] = [(step, nats) for step, nats, _ in report.valid]
    drawn = [
        curve_chart(lines, Labels("Loss", "step", "nats per token")),
        curve_chart({"rate": report.rate}, Labels("Learning rate", "step", "rate")),
        curve_chart({"norm": report.norm}, Labels("Norm of the gradient", "step", "before clipping")),
    ]
    if any(bits for _, _, bits in report.valid):
        held = [(step, bits) for step, _, bits in report.valid]
        drawn.append(curve_chart({"held out": held}, Labels("Held-out text", "step", "bits per byte")))
    return "".join(drawn)


def _sources(sources: Sequence[SourceReport]) -> str:
    head = ("Source", "Documents", "Tokens", "Share", "Rows read", "Epochs")
    rows = [
        (s.name, number(s.documents), number(s.tokens), percent(s.share, 1.0), number(s.rows_read), f"{s.epochs:.2f}")
        for s in sources
    ]
    return table("Data", head, rows)


_TERMS = """<p class="terms">Share is the share of every source in what is read, exact to one row at every point of the run.
An epoch is one reading of a source. The speed is the median over the steps of the last call. The share of the peak counts
6 operations for each weight that is multiplied and 12 for each layer, channel and position of the context (PaLM, appendix B),
against what the devices could do.</p>
"""
_NEXT = """<section><h2>What can be done with it</h2>
<p>Score, edit and measure with it:</p>
<pre><code>recension edit CORPUS -o EDITED --prior hf:THIS_FOLDER</code></pre>
<p>Load it:</p>
<pre><code>AutoModelForCausalLM.from_pretrained("THIS_FOLDER/model")</code></pre></section>
"""


def train_summary_lines(report: TrainReport) -> list[str]:
    """The result for a terminal."""
    lines = [sentence(report)]
    lines.append(
        f"  {report.tokens_per_second:,.0f} tokens/s, {percent(report.mfu, 1.0)} of the peak "
        f"({report.peak / 1e9:,.0f} GFLOP/s, {report.peak_source})"
    )
    if len(report.sources) > 1:
        lines += [f"  {s.name}: {percent(s.share, 1.0)} of the rows, {s.epochs:.2f} epochs" for s in report.sources]
    lines += set_aside_line(report.dropped)
    return printable(lines)


def model_card(report: TrainReport, title: str) -> str:
    """README.md beside the model."""
    front = (
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- recension\nlicense: unknown\n---\n\n"
    )
    rows = "".join(f"| {plain(name)} | {code(value)} |\n" for name, value in report.settings.items())
    data = "".join(
        f"| {code(s.name)} | {number(s.documents)} | {number(s.tokens)} | {s.share:.2%} | {s.epochs:.2f} |\n"
        for s in report.sources
    )
    return (
        f"{front}# {plain(title)}\n\n{escape(sentence(report))}\n\n"
        f"Made by `recension train {report.verb}`, run {code(report.run)}. The weights are in `model/`, as transformers loads "
        "them; the inputs with their hashes are in `manifest.json`, every step in `curve.jsonl`.\n\n"
        f"## Settings\n\n| Name | Value |\n| --- | --- |\n{rows}\n"
        f"## Data\n\n| Source | Documents | Tokens | Share | Epochs |\n| --- | --- | --- | --- | --- |\n{data}\n"
        "## Limits\n\n- The licences of the data hold for what is made of it; none was named.\n"
        "- A language model writes what is likely, not what is true.\n"
    )
