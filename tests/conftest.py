"""One core for each process of the tests, so that a verb which is not told otherwise works in one process.

A second worker process takes seconds to import what it needs, on hundreds of calls; the tests of several workers ask for
them. Threads of torch, OpenVINO and the tokenizers of two test processes do not get into each other's way either.
"""

from __future__ import annotations

import os
import re

import pytest

from tests import warm


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        number = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
        if not config.getoption(
            "numprocesses", None
        ):  # who starts the others would hand its one core on to all of them
            os.sched_setaffinity(0, {cores[number % len(cores)]})


def pytest_unconfigure(config: pytest.Config) -> None:
    warm.SERVER.end()
