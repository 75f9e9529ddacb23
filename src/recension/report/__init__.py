"""Values in, self-contained pages out. Nothing here knows of runs, models or methods."""

from recension.report.card import Card, CardPart, dataset_card
from recension.report.edit import edit_page, edit_summary_lines
from recension.report.loss_pattern import (
    LossPatternReport,
    Token,
    WorstPassage,
    loss_pattern_page,
    loss_pattern_summary_lines,
)
from recension.report.mix import MixedSource, MixReport, mix_page, mix_report_from_json, mix_summary_lines
from recension.report.perplexity import (
    DomainFigures,
    Interval,
    ModelFigures,
    PerplexityReport,
    ScopeFigures,
    perplexity_page,
    perplexity_summary_lines,
)
from recension.report.train import SourceReport, TrainReport, model_card, train_page, train_summary_lines
from recension.report.values import (
    EditReport,
    GenerationReport,
    Mark,
    ViewedDocument,
    ViewedText,
    edit_report_from_json,
)
from recension.report.view import write_view

__all__ = [
    "Card",
    "CardPart",
    "DomainFigures",
    "EditReport",
    "GenerationReport",
    "Interval",
    "LossPatternReport",
    "Mark",
    "MixReport",
    "MixedSource",
    "ModelFigures",
    "PerplexityReport",
    "ScopeFigures",
    "SourceReport",
    "Token",
    "TrainReport",
    "ViewedDocument",
    "ViewedText",
    "WorstPassage",
    "dataset_card",
    "edit_page",
    "edit_report_from_json",
    "edit_summary_lines",
    "loss_pattern_page",
    "loss_pattern_summary_lines",
    "mix_page",
    "mix_report_from_json",
    "mix_summary_lines",
    "model_card",
    "perplexity_page",
    "perplexity_summary_lines",
    "train_page",
    "train_summary_lines",
    "write_view",
]
