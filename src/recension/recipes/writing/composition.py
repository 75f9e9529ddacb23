"""`compose`, one row: a new text that a sample of the web inspires (Cosmopedia)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recension.corpus import Record, column_value
from recension.document import Document
from recension.methods.writing.cleaning import Rules, flaw, tidy
from recension.models.token_counts import TokenCounter
from recension.recipes.writing.desk import Desk, Prompt, Text, draw_of
from recension.recipes.writing.reformulation import SHOWN
from recension.recipes.writing.rows import Units, Written
from recension.recipes.writing.spec import ComposeSpec
from recension.recipes.writing.tally import WRITING


@dataclass(frozen=True)
class Compose:
    """What `compose` makes of a row. Units: one."""

    spec: ComposeSpec
    desk: Desk
    styles: Mapping[str, Prompt]
    rules: Rules
    counter: TokenCounter

    async def __call__(self, record: Record) -> Units:
        units = Units()
        document = record.document
        seed = document.text[: self.spec.seed_characters].strip()
        if not seed:
            units.lose("empty-text", "there is no text in it")
            return units
        units.tally.count("kept", "documents")
        units.tally.count("kept", "source tokens", by=self.counter.total([seed]))
        style, audience = (
            self._drawn(document, "style", self.spec.style),
            self._drawn(document, "audience", self.spec.audience),
        )
        topic = self._topic(record)
        values: dict[str, Any] = {"source": Text(seed), "audience": audience, "topic": Text(topic or "")}
        draw = draw_of(self.desk.seed, document, f"compose {style} {audience}")
        answer = await self.desk.ask(self.styles[style].messages(values), draw, style, units.tally)
        text = tidy(answer.text)
        trouble, detail = answer.trouble, answer.detail
        if not trouble and (found := flaw(seed, text, [], self.rules)) is not None:
            trouble, detail = found, text[:200]
        units.tally.through(WRITING, "texts" if answer.trouble else "cleaning" if trouble else "")
        units.tally.count("genres", style, "asked")
        example = {"source": seed[:SHOWN], "text": text[:SHOWN], "genre": style, "audience": audience}
        if trouble:
            units.lose(trouble, f"{style}: {detail}")
            if text:
                units.tally.example(trouble, id=document.id, detail=detail, **example)
            return units
        units.tally.count("genres", style, "kept")
        units.tally.count("matrix", style, audience)
        units.tally.count("kept", "tokens", by=self.counter.total([text]))
        units.tally.example("kept", id=document.id, detail=topic or "", **example)
        units.written.append(Written(text, style, audience=audience, topic=topic))
        return units

    def _drawn(self, document: Document, what: str, choices: tuple[str, ...]) -> str:
        return choices[draw_of(self.desk.seed, document, what) % len(choices)]

    def _topic(self, record: Record) -> str | None:
        """The topic, which half of the texts are told."""
        if self.spec.topic_key is None or draw_of(self.desk.seed, record.document, "topic") % 2:
            return None
        found = column_value(record, self.spec.topic_key)
        return str(found)[:200] if found else None
