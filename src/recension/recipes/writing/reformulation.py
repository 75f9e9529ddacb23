"""`reformulate`, one row: parts, genre-audience pairs, a text for each pair, cleaning, judge (MAGA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from recension.corpus import Record
from recension.document import Document
from recension.methods.writing.cleaning import Rules, flaw, tidy
from recension.methods.writing.judging import Verdict, read_verdict, unsupported, verdict_schema
from recension.methods.writing.pairs import Pair, fresh_pairs, pairs_schema, read_pairs
from recension.models.token_counts import TokenCounter
from recension.recipes.writing.desk import UNANSWERED, Answer, Desk, Form, Text, draw_of, load_prompt, together
from recension.recipes.writing.rows import Units, Written
from recension.recipes.writing.sources import Part, parts_of, unfit
from recension.recipes.writing.spec import ReformulateSpec
from recension.recipes.writing.tally import WRITING

ROUNDS = 3  # of asking for pairs, until there are enough different ones
SHOWN = 500  # characters of an example
VERDICT = Form(verdict_schema(), read_verdict)


class Draft(NamedTuple):
    """What came of one pair: a text, or why there is none."""

    pair: Pair
    text: str = ""
    trouble: str = ""
    detail: str = ""
    verdict: Verdict | None = None
    unsupported: tuple[str, ...] = ()
    stage: str = ""  # that set it aside


@dataclass(frozen=True)
class Reformulate:
    """What `reformulate` makes of a row. Units: one for each pair of each part."""

    spec: ReformulateSpec
    desk: Desk
    judge: Desk | None
    rules: Rules
    counter: TokenCounter

    async def __call__(self, record: Record) -> Units:
        units = Units()
        document = record.document
        if (why := unfit(document, self.spec.source)) is not None:
            units.lose(*why)
            return units
        parts = parts_of(document.text, self.spec.source.part_characters)
        units.tally.count("kept", "documents")
        units.tally.count("kept", "parts", by=len(parts))
        units.tally.count("kept", "source tokens", by=self.counter.total([part.text for part in parts]))
        for part, found in zip(parts, await together(*(self._part(document, p, units) for p in parts)), strict=True):
            self._settle(document, part, found, units)
        return units

    async def _part(self, document: Document, part: Part, units: Units) -> list[Draft]:
        pairs, trouble = await self._pairs(document, part, units)
        drafts = await together(*(self._write(document, part, i, pair, units) for i, pair in enumerate(pairs)))
        missing = self.spec.pairs - len(pairs)
        why = trouble or Answer("", "too-few-pairs", f"{len(pairs)} different ones after {ROUNDS} rounds")
        drafts += [Draft(Pair("", ""), trouble=f"pairs: {why.trouble}", detail=why.detail, stage="pairs")] * missing
        kept: list[Draft] = []
        siblings: list[str] = []
        for draft in drafts:  # in order, so that which sibling stays does not depend on who answers first
            checked = self._clean(part, draft, siblings)
            siblings += [checked.text] if not checked.trouble else []
            kept.append(checked)
        if self.judge is None:
            return kept
        return list(await together(*(self._rate(document, part, i, d, units) for i, d in enumerate(kept))))

    async def _pairs(self, document: Document, part: Part, units: Units) -> tuple[list[Pair], Answer | None]:
        """Stage 1: different pairs, asked for again where some are alike."""
        wanted, held, trouble = self.spec.pairs, list[Pair](), None
        for number in range(ROUNDS):
            missing = wanted - len(held)
            if number == 0:
                messages = load_prompt("reformulate/pairs").messages({"source": Text(part.text), "count": missing})
            else:
                known = [Text(f"{pair.genre}\n{pair.audience}") for pair in held]
                messages = load_prompt("reformulate/more_pairs").messages(
                    {"source": Text(part.text), "count": missing, "held": known}
                )
            draw = draw_of(self.desk.seed, document, f"pairs {part.number}", number)
            found = await self.desk.find(messages, _pairs_form(missing), draw, "pairs", units.tally)
            if isinstance(found, Answer):
                trouble = found
                if found.trouble in ("unparsable", "truncated", "empty"):
                    continue
                break
            fresh, alike = fresh_pairs(found, held)
            if alike:
                units.tally.count("stages", "pairs", "alike", by=len(alike))
            held += fresh[:missing]
            if len(held) == wanted:
                return held, None
        return held, trouble

    async def _write(self, document: Document, part: Part, number: int, pair: Pair, units: Units) -> Draft:
        """Stage 2: the text for one pair."""
        prompt = load_prompt(f"reformulate/{self.spec.variant}")
        values = {"source": Text(part.text), "genre": Text(pair.genre), "audience": Text(pair.audience)}
        draw = draw_of(self.desk.seed, document, f"rewrite {part.number}", number)
        answer = await self.desk.ask(prompt.messages(values), draw, "rewrite", units.tally)
        return Draft(pair, tidy(answer.text), answer.trouble, answer.detail, stage="" if answer.ok else "texts")

    def _clean(self, part: Part, draft: Draft, siblings: list[str]) -> Draft:
        if draft.trouble:
            return draft
        found = flaw(part.text, draft.text, siblings, self.rules)
        return draft if found is None else draft._replace(trouble=found, detail=draft.text[:200], stage="cleaning")

    async def _rate(self, document: Document, part: Part, number: int, draft: Draft, units: Units) -> Draft:
        """The judge: limited consistency, and what the source does not support."""
        if draft.trouble or self.judge is None:
            return draft
        messages = load_prompt("reformulate/judge").messages({"source": Text(part.text), "candidate": Text(draft.text)})
        draw = draw_of(self.judge.seed, document, f"judge {part.number}", number)
        verdict = await self.judge.find(messages, VERDICT, draw, "judge", units.tally)
        if isinstance(verdict, Answer):
            if verdict.trouble != UNANSWERED:  # which says nothing of the judge
                units.tally.count("scores", "unparsable")
            return draft._replace(trouble=f"judge: {verdict.trouble}", detail=verdict.detail, stage="judge")
        units.tally.count("scores", str(verdict.score))
        lacking = tuple(f"{one.kind}: {one.text}" for one in unsupported(part.text, draft.text, verdict))
        draft = draft._replace(verdict=verdict, unsupported=lacking)
        if verdict.score < self.spec.judging.accept:
            told = f"{verdict.score}: {verdict.analysis[:200]}"
            return draft._replace(trouble="score", detail=told, stage="judge")
        if self.spec.judging.factuality and len(lacking) > self.spec.judging.max_unsupported:
            return draft._replace(trouble="unsupported", detail="; ".join(lacking)[:300], stage="factuality")
        return draft

    def _settle(self, document: Document, part: Part, drafts: list[Draft], units: Units) -> None:
        """Drafts to rows and losses, in order, and into the tables of the report."""
        texts = [draft.text for draft in drafts if not draft.trouble]
        units.tally.count("kept", "tokens", by=self.counter.total(texts))
        for number, draft in enumerate(drafts, start=1):
            units.tally.through(self._stages(), draft.stage)
            genre, audience = draft.pair.genre_name, draft.pair.audience_name
            example = {"source": part.text[:SHOWN], "text": draft.text[:SHOWN], "genre": draft.pair.genre,
                       "audience": draft.pair.audience}  # fmt: skip
            if draft.pair.genre:
                units.tally.count("genres", genre, "asked")
            if draft.trouble:
                units.lose(draft.trouble, draft.detail)
                if draft.text:
                    units.tally.example(draft.trouble, id=document.id, detail=draft.detail, **example)
                continue
            score = draft.verdict.score if draft.verdict else None
            units.tally.count("genres", genre, "kept")
            units.tally.count("matrix", genre, audience)
            units.tally.example("kept", id=document.id, detail=f"score {score}" if score else "", **example)
            units.written.append(
                Written(
                    draft.text, self.spec.variant, draft.pair.genre, draft.pair.audience, part=part.number,
                    parts=part.of, number=number, score=score, unsupported=draft.unsupported,
                    judge=self.judge.model if self.judge else None,
                )
            )  # fmt: skip

    def _stages(self) -> tuple[str, ...]:
        judged = ("judge", "factuality") if self.spec.judging.factuality else ("judge",)
        return ("pairs", *WRITING, *(judged if self.judge else ()))


def _pairs_form(count: int) -> Form[list[Pair]]:
    return Form(pairs_schema(count), lambda found: read_pairs(found, count) or None)
