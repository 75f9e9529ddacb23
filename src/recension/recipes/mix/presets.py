"""The mixtures of the papers, as parts that sources play: scaled to what there is, with what does not fit said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import NamedTuple

from recension.errors import UsageError
from recension.methods.mixture import Wanted


@dataclass(frozen=True, slots=True)
class Part:
    """`tokens` are shares of the whole, or billions; `unique` of them are different ones, where the paper says so."""

    tokens: Fraction
    unique: Fraction | None = None
    spare: bool = False  # without it the rest of the mixture still is what it is

    @property
    def passes(self) -> Fraction:
        return self.tokens / self.unique if self.unique else Fraction(1)


def _part(tokens: str, unique: str | None = None, spare: bool = False) -> Part:
    return Part(Fraction(tokens), Fraction(unique) if unique else None, spare)


def _beside(edu: str, synthetic: str) -> dict[str, Part]:
    """MAGA's shares in percent: what stands beside the educational text stays the same."""
    others = {"cosmopedia": "11.65", "python": "1.66", "math": "5.80"}
    return {
        "edu": _part(edu),
        "synthetic": _part(synthetic),
        **{name: _part(share, spare=True) for name, share in others.items()},
    }


PRESETS: Mapping[str, Mapping[str, Part]] = {
    **{
        f"alpha-{share}": {"human": _part(str(share)), "synthetic": _part(str(100 - share))}
        for share in (0, 25, 50, 75, 100)
    },
    "entire-repeat": {"edu": _part("500", "50")},
    "entire-full": {"edu": _part("499.2", "195")},
    "entire-maga": {"edu": _part("100", "50"), "synthetic": _part("400", "200")},
    "subset-plain": {"edu": _part("70", "50"), "web": _part("630", "450")},
    "subset-repeat": {"edu": _part("250", "50"), "web": _part("450", "450")},
    "subset-maga": {"edu": _part("50", "50"), "synthetic": _part("200", "200"), "web": _part("450", "450")},
    "maga-baseline": _beside("80.89", "0"),
    "maga-mix": _beside("16.29", "64.59"),
    "maga-only": _beside("0", "80.89"),
    "wrap": {"human": _part("1"), "synthetic": _part("1")},
}


def preset_named(name: str) -> Mapping[str, Part]:
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"they are {', '.join(PRESETS)}"
        raise UsageError(f"preset '{name}' is not known: {hint}")
    return PRESETS[name]


def check_parts(name: str, roles: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    """Refuse sources that play no part, and parts that nobody plays; say what goes on without. `roles` is by source."""
    parts = preset_named(name)
    for source, role in roles.items():
        if role not in parts:
            at = f"{places[source]}: " if places.get(source) else ""
            raise UsageError(
                f"{at}source '{source}' plays no part in preset {name}: its parts are {', '.join(parts)} (name the "
                f"source so, or say which with role)"
            )
    twice = next((role for role in parts if list(roles.values()).count(role) > 1), None)
    if twice:
        raise UsageError(f"preset {name}: two sources play '{twice}': give one source both paths")
    missing = [role for role, part in parts.items() if part.tokens and role not in roles.values()]
    needed = [role for role in missing if not parts[role].spare]
    if needed:
        raise UsageError(f"preset {name} needs a source '{needed[0]}': it is made of {_made_of(parts)}")
    notes = []
    if missing:
        lost = sum((parts[role].tokens for role in missing), Fraction(0)) / _whole(parts)
        notes.append(
            f"does not fit: preset {name} has {', '.join(missing)} too ({float(lost):.1%}); their share goes to the others "
            f"in proportion"
        )
    notes += [
        f"source '{source}' is not used: preset {name} has none of it"
        for source, role in roles.items()
        if not parts[role].tokens
    ]
    return notes


def _whole(parts: Mapping[str, Part]) -> Fraction:
    return sum((part.tokens for part in parts.values()), Fraction(0))


def _made_of(parts: Mapping[str, Part]) -> str:
    whole = _whole(parts)
    return ", ".join(f"{role} {float(part.tokens / whole):.4g}" for role, part in parts.items() if part.tokens)


class Fitted(NamedTuple):
    """What a preset asks of each source, with how much of it may be used at most; and the whole, where that says it."""

    wanted: list[Wanted]
    caps: list[int | None]
    total: int | None
    notes: list[str]


def fit(name: str, asked: Sequence[tuple[Wanted, str]], held: Sequence[int], total: int | None) -> Fitted:
    """A preset for sources (with their roles) that hold so many tokens."""
    parts = preset_named(name)
    chosen = [parts[role] for _, role in asked]
    wanted = [
        replace(ask, weight=part.tokens, most=max(ask.most, part.passes))
        for (ask, _), part in zip(asked, chosen, strict=True)
    ]
    bounded = [(Fraction(have) / part.unique, i) for i, (have, part) in enumerate(zip(held, chosen, strict=True))
               if part.unique and part.tokens]  # fmt: skip
    if not bounded:
        return Fitted(wanted, [None] * len(wanted), total, _spare(wanted, held) if total is None else [])
    whole = sum((part.tokens for part in chosen), Fraction(0))
    scale, least = (Fraction(total) / whole, None) if total is not None else min(bounded)
    caps: list[int | None] = []
    notes = [f"preset {name} at {float(scale) / 1e9:.3g} of its size: {_spelled(asked, chosen, scale)}"]
    for i, ((ask, _), part, have) in enumerate(zip(asked, chosen, held, strict=True)):
        unique = int(scale * part.unique) if part.unique else None
        caps.append(unique)
        if unique is None:
            continue
        if have < unique:
            passes = float(scale * part.tokens / have) if have else float("inf")
            notes.append(
                f"does not fit: {ask.name} holds {have:,} tokens, {unique - have:,} fewer than the {unique:,} different ones "
                f"of the recipe; it is read {passes:.3g} times instead of {float(part.passes):.3g}"
            )
        elif i != least and have > unique:
            notes.append(f"{ask.name} holds {have:,} tokens, of which the recipe uses {unique:,}")
    return Fitted(wanted, caps, int(scale * whole) if total is None else total, notes)


def _spare(wanted: Sequence[Wanted], held: Sequence[int]) -> list[str]:
    """Of a mixture of shares that is as large as the source that is short allows: what remains of the others."""
    reach = [
        have * (ask.most if ask.stated else Fraction(1)) / ask.weight if ask.weight else None
        for ask, have in zip(wanted, held, strict=True)
    ]
    least = min(bound for bound in reach if bound is not None)
    short = wanted[reach.index(least)].name
    return [
        f"{short} is what is short: {ask.name} holds {have:,} tokens, of which the recipe uses {int(least * ask.weight):,}"
        for ask, have, bound in zip(wanted, held, reach, strict=True)
        if ask.weight and bound is not None and bound > least and have > least * ask.weight
    ]


def _spelled(asked: Sequence[tuple[Wanted, str]], parts: Sequence[Part], scale: Fraction) -> str:
    return " + ".join(
        f"{ask.name} {int(scale * part.unique):,} x {float(part.passes):.3g}"
        for (ask, _), part in zip(asked, parts, strict=True)
        if part.unique and part.tokens
    )
