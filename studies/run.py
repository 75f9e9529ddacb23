"""Carry out the studies of the papers and keep what they found beside this file.

    python studies/run.py DATA [--scale tiny] [--study NAME]... [--minutes 8] [--work FOLDER]

DATA is a folder with human/, synthetic/, paired/ and eval/. Each study works in FOLDER/NAME-SCALE and goes on there when it
is called again; of a finished one the report and the page are copied to studies/NAME/SCALE.json and .html. With --minutes
the call ends in about so many minutes, whatever is left. Models and texts stay in FOLDER.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

import recension
from recension.recipes.study.listed import STUDIES
from recension.recipes.study.spec import SCALES

HERE = Path(__file__).parent


class Told:
    """Says each step as it begins."""

    def update(self, progress: object) -> None:
        pass

    def note(self, line: str) -> None:
        print(f"  {line}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scale", choices=SCALES, default="tiny")
    parser.add_argument("--study", action="append", choices=list(STUDIES))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "studies")
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    end = None if given.minutes is None else time.monotonic() + 60 * given.minutes
    for name in given.study or STUDIES:
        left = None if end is None else (end - time.monotonic()) / 60
        if left is not None and left <= 0:
            print(f"{name}: no time is left")
            continue
        print(f"{name}, {given.scale}", flush=True)
        spec = recension.StudySpec(scale=given.scale, data=str(given.data))
        effort = recension.StudyEffort(workers=given.workers, minutes=left)
        out = given.work / f"{name}-{given.scale}"
        report = recension.study(name, out, spec, effort, Told())
        if report is None:
            print("  not finished: the same command goes on")
            continue
        print(f"  {report.sentence}")
        (HERE / name).mkdir(exist_ok=True)
        for ending in ("json", "html"):
            shutil.copyfile(out / f"report.{ending}", HERE / name / f"{given.scale}.{ending}")


if __name__ == "__main__":
    main()
