"""Make training text for language models out of human text, and prove that it has not collapsed.

Every verb is one function here and one command of the same name; nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "audit": "recension.recipes.audit.audit",
    "AuditSpec": "recension.recipes.audit.spec",
    "AuditEffort": "recension.recipes.audit.spec",
    "AuditReport": "recension.report.audit",
    "profile": "recension.recipes.audit.profile",
    "ProfileSpec": "recension.recipes.audit.spec",
    "ProfileReport": "recension.report.profile",
    "edit": "recension.recipes.edit",
    "plan_edit": "recension.recipes.edit",
    "EditSpec": "recension.recipes.edit",
    "EditReport": "recension.report",
    "evaluate_tasks": "recension.recipes.evaluate.tasks",
    "TasksSpec": "recension.recipes.evaluate.tasks",
    "TasksReport": "recension.report.tasks",
    "mix": "recension.recipes.mix.mix",
    "plan_mix": "recension.recipes.mix.glancing",
    "MixSpec": "recension.recipes.mix.spec",
    "MixSource": "recension.recipes.mix.spec",
    "MixEffort": "recension.recipes.mix.spec",
    "MixReport": "recension.report.mix",
    "revert": "recension.recipes.revert",
    "RevertSpec": "recension.recipes.revert",
    "select": "recension.recipes.select.choosing",
    "plan_select": "recension.recipes.select.choosing",
    "train_head": "recension.recipes.select.heads",
    "SelectSpec": "recension.recipes.select.spec",
    "SelectEffort": "recension.recipes.select.spec",
    "HeadSpec": "recension.recipes.select.spec",
    "SelectReport": "recension.report.select",
    "HeadReport": "recension.report.select",
    "train_ngram": "recension.recipes.train_ngram",
    "NgramSpec": "recension.recipes.train_ngram",
    "NgramEffort": "recension.recipes.train_ngram",
    "train_pretrain": "recension.recipes.train",
    "train_continue": "recension.recipes.train",
    "train_sft": "recension.recipes.train",
    "PretrainSpec": "recension.recipes.train.spec",
    "ContinueSpec": "recension.recipes.train.spec",
    "SftSpec": "recension.recipes.train.spec",
    "LearningSettings": "recension.recipes.train.spec",
    "TrainEffort": "recension.recipes.train.spec",
    "TrainReport": "recension.report",
    "evaluate_ppl": "recension.recipes.evaluate.perplexity",
    "PerplexitySpec": "recension.recipes.evaluate.spec",
    "PerplexityReport": "recension.report",
    "evaluate_loss_pattern": "recension.recipes.evaluate.loss_pattern",
    "LossPatternSpec": "recension.recipes.evaluate.spec",
    "LossPatternReport": "recension.report",
    "EvaluateEffort": "recension.recipes.evaluate.spec",
    "simulate_text": "recension.recipes.simulate.text",
    "SimulateTextSpec": "recension.recipes.simulate.spec",
    "SimulateTextReport": "recension.report.simulate_text",
    "simulate_regression": "recension.recipes.simulate.regression",
    "RegressionSpec": "recension.recipes.simulate.spec",
    "RegressionReport": "recension.report.simulate",
    "SimulateEffort": "recension.recipes.simulate.spec",
    "study": "recension.recipes.study.study",
    "plan_study": "recension.recipes.study.study",
    "StudySpec": "recension.recipes.study.spec",
    "StudyEffort": "recension.recipes.study.spec",
    "StudyReport": "recension.report.study",
    "verify": "recension.run.verify",
    "Verification": "recension.run.verify",
    "view": "recension.recipes.view",
    "ViewSpec": "recension.recipes.view",
    "Effort": "recension.recipes.settings",
    "RowSettings": "recension.recipes.settings",
    "PriorSettings": "recension.recipes.settings",
    "load_prior": "recension.models.load",
    "PriorOptions": "recension.models.load",
    "Ask": "recension.ports",
    "Prior": "recension.ports",
    "TokenScores": "recension.ports",
    "Document": "recension.document",
    "Dropped": "recension.document",
    "Origin": "recension.document",
    "RecensionError": "recension.errors",
    "compose": "recension.recipes.writing",
    "reformulate": "recension.recipes.writing",
    "rephrase": "recension.recipes.writing",
    "reparse": "recension.recipes.writing",
    "plan_writing": "recension.recipes.writing",
    "preview": "recension.recipes.writing",
    "Calls": "recension.recipes.writing.spec",
    "ReformulateSpec": "recension.recipes.writing.spec",
    "RephraseSpec": "recension.recipes.writing.spec",
    "ComposeSpec": "recension.recipes.writing.spec",
    "ReparseSpec": "recension.recipes.writing.spec",
    "WritingReport": "recension.report.writing",
    "Writer": "recension.ports",
    "lend_writer": "recension.models.writers",
}

__all__ = [
    "Ask",
    "AuditEffort",
    "AuditReport",
    "AuditSpec",
    "Calls",
    "ComposeSpec",
    "ContinueSpec",
    "Document",
    "Dropped",
    "EditReport",
    "EditSpec",
    "Effort",
    "EvaluateEffort",
    "HeadReport",
    "HeadSpec",
    "LearningSettings",
    "LossPatternReport",
    "LossPatternSpec",
    "MixEffort",
    "MixReport",
    "MixSource",
    "MixSpec",
    "NgramEffort",
    "NgramSpec",
    "Origin",
    "PerplexityReport",
    "PerplexitySpec",
    "PretrainSpec",
    "Prior",
    "PriorOptions",
    "PriorSettings",
    "ProfileReport",
    "ProfileSpec",
    "RecensionError",
    "ReformulateSpec",
    "RegressionReport",
    "RegressionSpec",
    "ReparseSpec",
    "RephraseSpec",
    "RevertSpec",
    "RowSettings",
    "SelectEffort",
    "SelectReport",
    "SelectSpec",
    "SftSpec",
    "SimulateEffort",
    "SimulateTextReport",
    "SimulateTextSpec",
    "StudyEffort",
    "StudyReport",
    "StudySpec",
    "TasksReport",
    "TasksSpec",
    "TokenScores",
    "TrainEffort",
    "TrainReport",
    "Verification",
    "ViewSpec",
    "Writer",
    "WritingReport",
    "__version__",
    "audit",
    "compose",
    "edit",
    "evaluate_loss_pattern",
    "evaluate_ppl",
    "evaluate_tasks",
    "lend_writer",
    "load_prior",
    "mix",
    "plan_edit",
    "plan_mix",
    "plan_select",
    "plan_study",
    "plan_writing",
    "preview",
    "profile",
    "reformulate",
    "reparse",
    "rephrase",
    "revert",
    "select",
    "simulate_regression",
    "simulate_text",
    "study",
    "train_continue",
    "train_head",
    "train_ngram",
    "train_pretrain",
    "train_sft",
    "verify",
    "view",
]

if TYPE_CHECKING:
    from recension.document import Document, Dropped, Origin
    from recension.errors import RecensionError
    from recension.models.load import PriorOptions, load_prior
    from recension.models.writers import lend_writer
    from recension.ports import Ask, Prior, TokenScores, Writer
    from recension.recipes.audit.audit import audit
    from recension.recipes.audit.profile import profile
    from recension.recipes.audit.spec import AuditEffort, AuditSpec, ProfileSpec
    from recension.recipes.edit import EditSpec, edit, plan_edit
    from recension.recipes.evaluate.loss_pattern import evaluate_loss_pattern
    from recension.recipes.evaluate.perplexity import evaluate_ppl
    from recension.recipes.evaluate.spec import EvaluateEffort, LossPatternSpec, PerplexitySpec
    from recension.recipes.evaluate.tasks import TasksSpec, evaluate_tasks
    from recension.recipes.mix.glancing import plan_mix
    from recension.recipes.mix.mix import mix
    from recension.recipes.mix.spec import MixEffort, MixSource, MixSpec
    from recension.recipes.revert import RevertSpec, revert
    from recension.recipes.select.choosing import plan_select, select
    from recension.recipes.select.heads import train_head
    from recension.recipes.select.spec import HeadSpec, SelectEffort, SelectSpec
    from recension.recipes.settings import Effort, PriorSettings, RowSettings
    from recension.recipes.simulate.regression import simulate_regression
    from recension.recipes.simulate.spec import RegressionSpec, SimulateEffort, SimulateTextSpec
    from recension.recipes.simulate.text import simulate_text
    from recension.recipes.study.spec import StudyEffort, StudySpec
    from recension.recipes.study.study import plan_study, study
    from recension.recipes.train import train_continue, train_pretrain, train_sft
    from recension.recipes.train.spec import ContinueSpec, LearningSettings, PretrainSpec, SftSpec, TrainEffort
    from recension.recipes.train_ngram import NgramEffort, NgramSpec, train_ngram
    from recension.recipes.view import ViewSpec, view
    from recension.recipes.writing import compose, plan_writing, preview, reformulate, reparse, rephrase
    from recension.recipes.writing.spec import Calls, ComposeSpec, ReformulateSpec, ReparseSpec, RephraseSpec
    from recension.report import EditReport, LossPatternReport, PerplexityReport, TrainReport
    from recension.report.audit import AuditReport
    from recension.report.mix import MixReport
    from recension.report.profile import ProfileReport
    from recension.report.select import HeadReport, SelectReport
    from recension.report.simulate import RegressionReport
    from recension.report.simulate_text import SimulateTextReport
    from recension.report.study import StudyReport
    from recension.report.tasks import TasksReport
    from recension.report.writing import WritingReport
    from recension.run.verify import Verification, verify


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'recension' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
