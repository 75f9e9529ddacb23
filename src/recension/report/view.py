"""The page that shows edits where they stand, one file however large the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from recension.report.edit import generation_table, headline, plots, sentence, settings_table
from recension.report.page import asset, closing, data_block, escape, masthead, opening
from recension.report.values import EditReport, Mark, ViewedDocument, ViewedText

BLOCK_CHARACTERS = 1 << 18  # documents that the page parses together


def write_view(out: TextIO, summary: EditReport, documents: Iterable[ViewedDocument]) -> int:
    """Write the page as the documents come, so memory does not grow; returns how many. `out` must encode UTF-8."""
    script = f'(() => {{\n"use strict";\n{asset("view_text.js")}\n{asset("view.js")}\n}})();'
    out.write(opening(summary.title, asset("view.css"), (script,)))
    out.write(_head(summary))
    index: list[list[Any]] = []
    editions = 1
    for number, block in enumerate(_blocks(documents)):
        out.write(data_block(block, "block"))
        index += [[number, *_edits_by_generation(d)] for d in block]
        editions = max(editions, *(d["edition"] for d in block))
    known = {
        "documents": index,
        "priors": {str(g.generation): g.prior for g in summary.generations},
        "written": summary.documents,
        "editions": editions,
    }
    out.write(data_block(known, "index"))
    out.write(closing((script,)))
    return len(index)


def _blocks(documents: Iterable[ViewedDocument]) -> Iterator[list[dict[str, Any]]]:
    block: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        block.append(_packed(document))
        size += 100 + sum(len(t.text) + 40 * len(t.marks) for t in document.generations)
        if size >= BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _packed(document: ViewedDocument) -> dict[str, Any]:
    texts = [{"g": t.generation, "p": t.path, "s": segments(t)} for t in document.generations]
    return {"id": document.id, "place": document.place, "edition": document.edition, "texts": texts}


def _edits_by_generation(packed: dict[str, Any]) -> list[list[int]]:
    counts: dict[int, int] = {}
    for text in packed["texts"]:
        counts[text["g"]] = counts.get(text["g"], 0) + len(text["s"]) // 2
    return [[generation, count] for generation, count in counts.items()]


def segments(text: ViewedText) -> list[Any]:
    """Plain, edit, plain, ..., plain: so the page needs no offsets, and code points never meet UTF-16 units."""
    parts: list[Any] = []
    at = 0
    for mark in sorted(text.marks, key=lambda m: m.start):
        end = mark.start + len(mark.new)
        if mark.start < at or text.text[mark.start : end] != mark.new:
            raise ValueError(f"the edit at {mark.start} of {text.path!r} does not say what stands there: {mark.new!r}")
        parts += [text.text[at : mark.start], _packed_mark(mark)]
        at = end
    parts.append(text.text[at:])
    return parts


def _packed_mark(mark: Mark) -> list[Any]:
    return [mark.old, mark.new, _probability(mark.p_old), _probability(mark.p_new)]


def _probability(p: float) -> float | None:
    return float(f"{p:.5g}") if math.isfinite(p) else None


def _head(summary: EditReport) -> str:
    several = len(summary.generations) > 1
    notes = "".join(f"<li>{escape(note)}</li>" for note in summary.notes)
    return (
        '<div class="wrap">\n'
        + masthead(f"recension view · run {summary.run}", summary.title, sentence(summary))
        + f'<section aria-label="In numbers">{headline(summary)}</section>\n'
        + (f"<section>{generation_table(summary)}</section>\n" if several else "")
        + f'<details class="more"{"" if several else " open"}><summary>Plots</summary>{plots(summary)}</details>\n'
        + f'<details class="more"><summary>Settings</summary>{settings_table(summary.settings)}'
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
        + "</details>\n</div>\n"
        + _TOOLS
    )


_TOOLS = """<div class="toolbar" id="toolbar" role="toolbar" aria-label="Documents and edits" hidden><div class="wrap">
<div class="find"><label class="sr" for="find">Search in texts and ids</label>
<input type="search" id="find" placeholder="Search texts and ids" autocomplete="off" spellcheck="false"></div>
<label class="pick" id="generation-pick" hidden><span>Generation</span> <select id="generation"></select></label>
<label class="pick"><span>Show</span> <select id="show"><option value="new">edited</option>
<option value="both">old and new</option><option value="old">original</option></select></label>
<label class="check"><input type="checkbox" id="edited-only"> <span>only edited</span></label>
<div class="steps"><div class="step" role="group" aria-label="Documents"><button type="button" id="previous-document"
 aria-label="Previous document" title="Previous document (k)">‹</button><span class="where" id="where-document"></span>
<button type="button" id="next-document" aria-label="Next document" title="Next document (j)">›</button></div>
<div class="step" role="group" aria-label="Edits"><button type="button" id="previous-edit"
 aria-label="Previous edit" title="Previous edit (p)">‹</button><span class="where" id="where-edit"></span>
<button type="button" id="next-edit" aria-label="Next edit" title="Next edit (n)">›</button></div>
</div></div></div>
<main class="wrap" id="main"><p class="status" id="found" role="status"></p>
<noscript><p>This page needs JavaScript to show the documents. Nothing is loaded from anywhere.</p></noscript>
<div id="documents"></div><nav class="pages" id="pages" aria-label="Pages" hidden></nav></main>
<footer class="wrap"><p><kbd>n</kbd> <kbd>p</kbd> next and previous edit · <kbd>j</kbd> <kbd>k</kbd> next and previous
document · <kbd>/</kbd> search, <kbd>Enter</kbd> next hit · <kbd>o</kbd> edited, both, original · <kbd>Esc</kbd>
close</p></footer>
<div id="tip" role="tooltip" hidden></div><p class="sr" id="said" aria-live="polite"></p>
"""
