"""lm-evaluation-harness kept quiet, and nothing of it left behind in the process."""

from __future__ import annotations

import io
import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy as np

from recension.models.hub import quiet


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """The harness logs, prints, draws bars and seeds the generators of the process: none of it is seen afterwards."""
    import torch

    logger, data = logging.getLogger("lm_eval"), logging.getLogger("datasets")
    levels = logger.level, data.level
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    logger.setLevel(logging.CRITICAL)
    data.setLevel(logging.CRITICAL)
    random.seed(seed)
    np.random.seed(seed)
    torch.random.manual_seed(seed)
    try:
        with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
        logger.setLevel(levels[0])
        data.setLevel(levels[1])


@contextmanager
def one_process() -> Iterator[None]:
    """Forking a process that has threads can hang, and the harness does it for its bootstrap unless told not to."""
    name, before = "DISABLE_MULTIPROC", os.environ.get("DISABLE_MULTIPROC")
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
