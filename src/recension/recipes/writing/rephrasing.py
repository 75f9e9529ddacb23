"""`rephrase`, one row: every style for every part, and the source beside them where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recension.corpus import Record
from recension.document import Document
from recension.methods.writing.cleaning import Rules, flaw, tidy
from recension.models.token_counts import TokenCounter
from recension.recipes.writing.desk import Desk, Prompt, Text, draw_of, together
from recension.recipes.writing.reformulation import SHOWN
from recension.recipes.writing.rows import Units, Written
from recension.recipes.writing.sources import Part, parts_of, unfit
from recension.recipes.writing.spec import RephraseSpec
from recension.recipes.writing.tally import WRITING


@dataclass(frozen=True)
class Rephrase:
    """What `rephrase` makes of a row. Units: one for each style of each part, and one for the source if it stays."""

    spec: RephraseSpec
    desk: Desk
    styles: Mapping[str, Prompt]
    rules: Mapping[str, Rules]
    counter: TokenCounter

    async def __call__(self, record: Record) -> Units:
        units = Units()
        document = record.document
        if (why := unfit(document, self.spec.source)) is not None:
            if self.spec.mix_source == "interleave" and why[0] != "empty-text":
                self._keep_source(document, units)
            units.lose(*why)
            return units
        parts = parts_of(document.text, self.spec.source.part_characters)
        units.tally.count("kept", "documents")
        units.tally.count("kept", "parts", by=len(parts))
        units.tally.count("kept", "source tokens", by=self.counter.total([part.text for part in parts]))
        if self.spec.mix_source == "interleave":
            self._keep_source(document, units)
        asked = [(part, number, style) for part in parts for number, style in enumerate(self.styles, start=1)]
        answers = await together(*(self._write(document, part, style, units) for part, _, style in asked))
        for one, found in zip(asked, answers, strict=True):
            self._settle(document, one, found, units)
        return units

    async def _write(self, document: Document, part: Part, style: str, units: Units) -> tuple[str, str, str]:
        """The text in a style; or a reason and its detail."""
        draw = draw_of(self.desk.seed, document, f"rephrase {style} {part.number}")
        messages = self.styles[style].messages({"source": Text(part.text)})
        answer = await self.desk.ask(messages, draw, style, units.tally)
        if not answer.ok:
            units.tally.through(WRITING, "texts")
            return "", answer.trouble, answer.detail
        text = tidy(answer.text)
        found = flaw(part.text, text, [], self.rules[style])
        units.tally.through(WRITING, "cleaning" if found else "")
        return text, found or "", text[:200] if found else ""

    def _settle(
        self, document: Document, asked: tuple[Part, int, str], found: tuple[str, str, str], units: Units
    ) -> None:
        part, number, style = asked
        text, trouble, detail = found
        example = {"source": part.text[:SHOWN], "text": text[:SHOWN], "genre": style, "audience": ""}
        units.tally.count("genres", style, "asked")
        if trouble:
            units.lose(trouble, f"{style}: {detail}")
            if text:
                units.tally.example(trouble, id=document.id, detail=detail, **example)
            return
        units.tally.count("genres", style, "kept")
        units.tally.count("kept", "tokens", by=self.counter.total([text]))
        units.tally.example("kept", id=document.id, detail=style, **example)
        if self.spec.mix_source == "append":
            text = f"{part.text}\n\n{text}"
        units.written.append(Written(text, style, part=part.number, parts=part.of, number=number))

    def _keep_source(self, document: Document, units: Units) -> None:
        units.tally.count("kept", "sources")
        units.written.append(Written(document.text, "source", number=0))
