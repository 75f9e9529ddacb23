"""One generation of one policy and seed: train, measure, and write or edit what the next one learns from."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard

from recension.document import Field
from recension.errors import UnreachableError, UsageError
from recension.identity import content_hash, fingerprint
from recension.methods.audit.measures import effects, figures_of, stretch
from recension.methods.audit.panel import panel_of, units_of
from recension.methods.budget import FLOOR, HOTTEST, Scored, solve
from recension.methods.toedit import Sampling, edit_text
from recension.ports import Ask
from recension.randomness import document_key
from recension.recipes.audit.stages import Chunk
from recension.recipes.edit.budget import SAMPLE_CHARACTERS
from recension.recipes.simulate.learners import Learner, Model, vocabulary_of
from recension.recipes.simulate.pool import drawn, pool_of
from recension.run import folder

COMPARED = 60_000  # words of each side for the figures of contraction
UNIT = 200
HUMAN, WRITTEN, NEXT = "human", "written", "next"


class Arm(NamedTuple):
    """A policy, with the share that it edits where it edits."""

    policy: str
    share: float | None = None

    @property
    def edits(self) -> bool:
        return self.policy in ("chain", "anchor")

    @property
    def source(self) -> str:
        """What the first generation leaves for this arm: all policies begin with the same model."""
        return f"edited {self.share}" if self.edits else WRITTEN


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a generation has to know; small, so that it travels to workers."""

    out: Path
    key: str
    arms: tuple[Arm, ...]
    learner: Learner
    budget: int
    threshold: float | None
    decay: float
    seed: int
    last: int


def place_of(plan: Plan, name: str) -> Path:
    return plan.out / "passes" / name / "result"


def pass_name(generation: int) -> str:
    return f"generation-{generation:02d}"


# --- states -----------------------------------------------------------------------------------------------------------


class State(msgspec.Struct):
    """What a generation leaves: its figures, and the texts that it made, packed."""

    figures: dict[str, Any]
    texts: dict[str, bytes]


def framed(state: State) -> bytes:
    raw = msgspec.msgpack.encode(state)
    return len(raw).to_bytes(8, "little") + raw


def frame(path: Path, number: int) -> State:
    """One of the states that a pass has put behind each other, without reading the others."""
    with path.open("rb") as file:
        for _ in range(number):
            file.seek(int.from_bytes(file.read(8), "little"), 1)
        size = int.from_bytes(file.read(8), "little")
        return msgspec.msgpack.decode(file.read(size), type=State)


def packed(texts: Sequence[str]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(list(texts)), 3)


def unpacked(raw: bytes) -> list[str]:
    found: list[str] = msgspec.msgpack.decode(zstandard.decompress(raw))
    return found


# --- the texts --------------------------------------------------------------------------------------------------------


class Sample(NamedTuple):
    texts: list[str]
    lengths: list[int]


def files_of(plan: Plan) -> dict[str, bytes]:
    found: dict[str, bytes] = msgspec.msgpack.decode(place_of(plan, "tokenizer").read_bytes())
    return found


@lru_cache(maxsize=2)
def human(plan: Plan, seed: int) -> Sample:
    """The text that the first model of a seed learns from, and the tokens of each passage."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(files_of(plan)["tokenizer.json"].decode())
    texts = drawn(pool_of(place_of(plan, "pool"), plan.key), seed)
    lengths = [len(one.ids) for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    count = int(np.searchsorted(np.cumsum(lengths), plan.budget)) + 1
    return Sample(texts[:count], lengths[:count])


def made(plan: Plan, number: int, seed: int, generation: int) -> list[str]:
    """What was made for one generation of an arm."""
    if generation == 1:
        return human(plan, seed).texts
    arm = plan.arms[number]
    place = place_of(plan, pass_name(generation - 1))
    if generation == 2:
        return unpacked(frame(place, seed).texts[arm.source])
    return unpacked(frame(place, seed * len(plan.arms) + number).texts[NEXT])


def learnt(plan: Plan, number: int, seed: int, generation: int) -> list[str]:
    """The training set of one generation of an arm."""
    policy = plan.arms[number].policy
    if policy not in ("accumulate", "accumulate_fixed"):
        return made(plan, number, seed, generation)
    versions = [made(plan, number, seed, n) for n in range(1, generation + 1)]
    if policy == "accumulate":
        return [text for version in versions for text in version]
    return mixed(versions, _key(plan, seed, generation, policy))


def mixed(versions: Sequence[Sequence[str]], key: int) -> list[str]:
    """Each passage in one of its versions, drawn at random."""
    random = np.random.Generator(np.random.Philox(key=key))
    return [
        versions[i][place] for place, i in enumerate(random.integers(len(versions), size=len(versions[0])).tolist())
    ]


def _key(plan: Plan, seed: int, generation: int, what: str) -> int:
    return int(fingerprint([plan.seed, seed, generation, what])[:15], 16)


# --- one generation ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GenerationTask:
    """In the first generation a piece is a seed, later a seed and an arm. Picklable."""

    plan: Plan
    generation: int

    def __call__(self, piece: Chunk) -> bytes:
        plan, generation = self.plan, self.generation
        scratch = plan.out / folder.SCRATCH / f"{pass_name(generation)}-{piece.index}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            with folder.writing(scratch):
                state = self._first(piece.start, scratch) if generation == 1 else self._later(piece.start, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return framed(state)

    def _first(self, seed: int, scratch: Path) -> State:
        plan = self.plan
        texts = human(plan, seed).texts
        model = plan.learner.fit(texts, files_of(plan), scratch, _key(plan, seed, 0, "fit"))
        found: dict[str, Any] = {"effects": None, "edits": {}} | self._measured(model, texts)
        out: dict[str, bytes] = {}
        if plan.last > 1:
            for source in dict.fromkeys(arm.source for arm in plan.arms):
                arm = next(arm for arm in plan.arms if arm.source == source)
                new, edits = self._next(model, arm, seed, texts)
                out[source] = packed(new)
                found["edits"][source] = edits
        return State(found, out)

    def _later(self, piece: int, scratch: Path) -> State:
        plan = self.plan
        seed, number = divmod(piece, len(plan.arms))
        arm = plan.arms[number]
        texts = learnt(plan, number, seed, self.generation)
        model = plan.learner.fit(texts, files_of(plan), scratch, _key(plan, seed, 0, "fit"))
        whole = texts
        if arm.policy == "accumulate":  # compared at equal length, as a draw of its versions
            versions = [made(plan, number, seed, n) for n in range(1, self.generation + 1)]
            whole = mixed(versions, _key(plan, seed, self.generation, "compare"))
        found: dict[str, Any] = {"effects": contraction(human(plan, seed).texts, whole)} | self._measured(model, texts)
        out: dict[str, bytes] = {}
        if self.generation < plan.last:
            base = human(plan, seed).texts if arm.policy == "anchor" else texts
            new, found["edits"] = self._next(model, arm, seed, base)
            out[NEXT] = packed(new)
        return State(found, out)

    def _measured(self, model: Model, texts: Sequence[str]) -> dict[str, Any]:
        held = [text for _, text in pool_of(place_of(self.plan, "pool"), self.plan.key).held]
        nats = sum(-float(np.nansum(s.logprobs.astype(np.float64))) for s in model.prior.score(held, Ask()))
        size = sum(len(text.encode("utf-8", "replace")) for text in held)
        return {"bits_per_byte": nats / math.log(2) / size, "passages": len(texts)}

    def _next(self, model: Model, arm: Arm, seed: int, base: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        plan, generation = self.plan, self.generation
        if not arm.edits:
            key = _key(plan, seed, generation, f"write {arm.policy if generation > 1 else ''}")
            return model.write(human(plan, seed).lengths, key), {}
        assert arm.share is not None
        share = arm.share * plan.decay ** (generation - 1)
        key = _key(plan, seed, 0, "edit")
        return edited(model, base, (share, plan.threshold), (key, generation))


def edited(
    model: Model, texts: Sequence[str], wanted: tuple[float, float | None], chance: tuple[int, int]
) -> tuple[list[str], dict[str, Any]]:
    """ToEdit with the model as the prior: a share of the tokens solved for, or what a threshold picks."""
    share, threshold = wanted
    seed, generation = chance
    vocabulary = vocabulary_of(model.prior)
    none = np.zeros((0, 2), dtype=np.int64)
    sampling = Sampling(above=threshold)
    fields = [(Field("text", 0, len(text)),) for text in texts]
    if threshold is None:
        sampling = Sampling(above=FLOOR)
        count = int(np.searchsorted(np.cumsum([len(text) for text in texts]), SAMPLE_CHARACTERS)) + 1
        scores = model.prior.score(list(texts[:count]), sampling.ask())
        sample = [Scored(field, score, none) for field, score in zip(fields[:count], scores, strict=True)]
        try:
            found = solve(sample, vocabulary, sampling, share)
            sampling = replace(sampling, above=found.threshold, temperature=found.temperature)
        except UnreachableError as error:
            if generation == 1:
                why = str(error).partition(";")[0].replace("--change-share", "--share")
                raise UsageError(
                    f"{why}; take less, let the model learn more (--budget, and --epochs of tiny), or set --threshold"
                ) from None
            sampling = replace(sampling, temperature=HOTTEST)  # as much as there is; the report says how much it was
    new, tokens, changed = [], 0, 0
    for text, field, score in zip(texts, fields, model.prior.score(list(texts), sampling.ask()), strict=True):
        key = document_key(seed, None, content_hash(text), generation)
        one = edit_text(text, field, score, vocabulary, (sampling, none, key))
        new.append(one.text)
        tokens += one.counts.tokens
        changed += one.counts.changed
    told = {"threshold": sampling.above, "temperature": sampling.temperature, "changed": changed / max(tokens, 1)}
    return new, told


def contraction(reference: Sequence[str], candidate: Sequence[str]) -> list[float] | None:
    """How much narrower a text is than the human one, by each figure of the audit; None where there is too little."""
    units = [[unit for text in texts for unit in units_of(text, "", UNIT)] for texts in (reference, candidate)]
    panel = panel_of(units)
    words = min(COMPARED, *(side.words for side in panel.sides))
    if words < UNIT:
        return None
    left, right = (stretch(side, np.arange(len(side.starts)), words) for side in panel.sides)
    return [float(x) for x in effects(*figures_of(panel, left, right))]
