"""`recension evaluate`."""

from __future__ import annotations

import click

from recension.cli.evaluate_tasks import tasks


@click.group()
def evaluate() -> None:
    """Measure a model."""


evaluate.add_command(tasks)
