from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from recension.report import EditReport, GenerationReport

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")  # not longer: while it lives, asyncio.run() is refused in this process
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: apt-get install chromium")
        pytest.skip("chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def make_report():
    def make(generations: int = 1, **changes: Any) -> EditReport:
        steps = tuple(
            GenerationReport(
                generation=k,
                prior="ngram:small",
                tokens=10_000,
                flagged=1_200 // k,
                changed=500 // k,
                protected=40,
                not_editable=7,
                truncated=0,
                logprob_before=-3.25,
                logprob_after=-3.5,
                probabilities=tuple(abs(i - 25) ** 2 for i in range(50)),
                positions=tuple(range(20, 40)),
            )
            for k in range(1, generations + 1)
        )
        values: dict[str, Any] = {
            "title": "Edited corpus",
            "run": "0123456789ab",
            "prior": "ngram:small",
            "settings": {"threshold": "0.99", "sampler": "top-k"},
            "documents": 321,
            "tokens": 10_000,
            "dropped": {"empty-text": 3, "broken-json": 9},
            "generations": steps,
            "notes": ("notes.pdf was skipped",),
        }
        return EditReport(**{**values, **changes})

    return make
