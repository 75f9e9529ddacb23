"""Every error that Recension raises on purpose, drawn as one tree.

RecensionError                 the CLI prints it in one line and exits with 2
├── UsageError                 a flag, a configuration key or a combination that cannot work
├── InputError                 an input that cannot be found, listed or opened
│   └── InputChangedError      an input file is no longer the one the run began with
├── OutputError                an output folder that cannot be written (full disk, no permission, not ours)
│   ├── ManifestMismatchError  the folder holds another run; the difference is in the message
│   └── LockedError            another process works in the folder
├── TooManyDroppedError        more rows were set aside than `--max-dropped` allows
├── ModelError                 a model that cannot be found, loaded or used for this
│   ├── MissingExtraError      an optional dependency is not installed
│   └── UnansweredError        one request that got no answer while others did: its row is set aside
├── BudgetError                the requests, tokens or money that a call may spend are spent; a larger budget goes on
├── WorkerError                a worker process died
├── DivergedError              a training whose loss is no number any more, or has risen for good
├── UnreachableError           a requested share, budget or mixture cannot be met; the message says by how much
└── VerificationError          a folder does not hold what its receipts say

Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class RecensionError(Exception):
    """The root: what happened, where, and what to do about it, in one line."""


class UsageError(RecensionError):
    pass


class InputError(RecensionError):
    pass


class InputChangedError(InputError):
    pass


class OutputError(RecensionError):
    pass


class ManifestMismatchError(OutputError):
    pass


class LockedError(OutputError):
    pass


class TooManyDroppedError(RecensionError):
    pass


class ModelError(RecensionError):
    pass


class MissingExtraError(ModelError):
    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"{what} needs the optional '{extra}' dependencies: pip install 'recension[{extra}]'")


class UnansweredError(ModelError):
    pass


class BudgetError(RecensionError):
    pass


class WorkerError(RecensionError):
    pass


class DivergedError(RecensionError):
    def __init__(self, step: int, why: str, remedy: str = "") -> None:
        super().__init__(f"training went wrong at step {step:,}: {why}{remedy}")
        self.step, self.why = step, why


class UnreachableError(RecensionError):
    pass


class VerificationError(RecensionError):
    pass
