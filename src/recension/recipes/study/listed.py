"""The studies by name; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from recension.errors import UsageError
from recension.recipes.study.bench import Study

STUDIES: Mapping[str, str] = {
    "u-shape": "u_shape",
    "edit-decline": "edit_decline",
    "samplers-and-thresholds": "samplers",
    "edit-pays-off": "edit_pays_off",
    "mixing-ratio": "mixing_ratio",
    "selection": "selection",
    "collapse-policies": "collapse_policies",
    "expansion-recipes": "expansion_recipes",
}


def study_of(name: str) -> Study[Any]:
    if name not in STUDIES:
        near = get_close_matches(name, STUDIES, 1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UsageError(f"there is no study '{name}'{hint}; there are {', '.join(STUDIES)}")
    found = import_module(f"recension.recipes.study.{STUDIES[name]}").STUDY
    assert isinstance(found, Study)
    return found
