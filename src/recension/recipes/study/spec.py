"""What can be set about a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recension.errors import UsageError
from recension.recipes.settings import ARGUMENT, check_effort, check_types, setting

ScaleName = Literal["tiny", "small", "paper"]
SCALES: tuple[ScaleName, ...] = ("tiny", "small", "paper")


@dataclass(frozen=True, slots=True)
class StudySpec:
    """Everything that can change what a study finds."""

    study: str = setting("", "Its name.", group=ARGUMENT)
    scale: ScaleName = setting(
        "tiny", "tiny: minutes on two cores; small: minutes on one GPU; paper: the published configuration.", SCALES,
        group="Study",
    )  # fmt: skip
    seeds: int | None = setting(
        None, "Seeds of every setting; fewer than 3 resolve nothing [default: the scale's, 3].", metavar="N",
        group="Study",
    )  # fmt: skip
    prior: str = setting(
        "", "The prior that edits: ngram:PATH, hf:NAME, ... [default: the scale's].", metavar="P", group="Study"
    )
    data: str | None = setting(
        None, "A folder with human/, synthetic/, paired/ and eval/, of which every study takes its files.",
        metavar="DIR", group="Data",
    )  # fmt: skip
    human: tuple[str, ...] = setting(
        (), "Human text to train on or to edit, instead of the files of --data.", metavar="IN", group="Data"
    )
    synthetic: tuple[str, ...] = setting(
        (), "Synthetic text, instead of the files of --data.", metavar="IN", group="Data"
    )
    held_out: tuple[str, ...] = setting(
        (), "Human text to measure on, a domain each, instead of the files of --data.", metavar="[NAME=]IN",
        group="Data",
    )  # fmt: skip
    text: tuple[str, ...] = setting(
        (), "Text of any other role of the study, such as instructions=chats.jsonl; the page lists the roles.",
        metavar="ROLE=IN", group="Data",
    )  # fmt: skip
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "Where models are trained and run.", ("auto", "cpu", "cuda"), group="Machine"
    )

    def __post_init__(self) -> None:
        check_types(self)
        if self.seeds is not None and self.seeds < 1:
            raise UsageError("--seeds is 1 or more")
        for given in self.text:
            role, mark, path = given.partition("=")
            if not (role and mark and path):
                raise UsageError(f"--text {given}: write ROLE=IN, such as instructions=chats.jsonl")

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """Text of one's own, by role."""
        found = {"human": self.human, "synthetic": self.synthetic, "held_out": self.held_out}
        for one in self.text:
            role, _, path = one.partition("=")
            found[role] = (*found.get(role, ()), path)
        return found


@dataclass(frozen=True, slots=True)
class StudyEffort:
    """How a study is carried out. None of this changes a figure."""

    workers: int = setting(
        0, "Processes of each step. 0 = one for each core (one in all for a model on a GPU).", metavar="N",
        group="Effort",
    )  # fmt: skip
    minutes: float | None = setting(
        None, "Begin no step that would not end within so many minutes; the next call goes on.", metavar="MIN",
        group="Effort",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_effort(self)
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError("--minutes is above 0")
