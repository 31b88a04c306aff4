"""The pipeline as one table; ``dvc.yaml`` holds the same stages with the same params, which a test compares.

Each stage imports its own task when it runs, so that a process pays only for what it does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from dconrec_core.options import RunOptions
from tasks.outputs import read_json
from tasks.params import PipelineParams
from tasks.workspace import Workspace

StageFunction = Callable[[PipelineParams, Workspace, RunOptions], None]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: typed params and paths in, files out.

    Args:
        name: As in ``dvc.yaml``.
        job: What it does, for people.
        params: Keys of ``params.yaml`` it uses; a change of any other leaves it fresh.
        run: The stage's function in ``tasks/`` with its arguments filled in.
        timeout: After which Prefect gives up on it; far above what it takes.
        retries: Further tries where a network or a server may answer the next time.
        outcome: What to tell people of its outputs when it is done.
    """

    name: str
    job: str
    params: tuple[str, ...]
    run: StageFunction
    timeout: timedelta = timedelta(hours=1)
    retries: int = 0
    outcome: Callable[[Workspace], str] = lambda files: "done"


def _ingest(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.ingest import ingest

    ingest(params.dataset, files.raw, files.cache, options)


def _validate(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.validate import validate

    validate(params.checks, files.raw, files.validated)


def _set_aside(files: Workspace) -> str:
    checks = read_json(files.validated / "checks.json")
    if not checks["n_quarantined"]:
        return "done"
    page = (files.validated / "checks.html").relative_to(files.root)
    return f"done, {checks['n_quarantined']:,} of {checks['n_rows']:,} rows set aside ({page})"


def _split(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.split import split

    split(params.prepare, params.split, params.seed, files.validated, files.split)


def _pretrain(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.pretrain import pretrain

    pretrain(params.teacher, files.split, files.teacher, files.timing("pretrain"), options)


def _augment(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.augment import augment

    augment(params.augment, files.split, files.teacher, files.pool, options)


def _condense(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.condense import condense
    from tasks.naming import data_name

    condense(
        params.condense,
        data_name(params.dataset),
        files.split,
        files.pool,
        files.condensed,
        files.search_history,
        files.condensed_checks,
        files.timing("condense"),
        options,
    )


def _evaluate(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.evaluate import evaluate

    evaluate(params.evaluate, params.condense, files, options)


def _report(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.report import report

    report(files, files.report)


def _register(params: PipelineParams, files: Workspace, options: RunOptions) -> None:
    from tasks.register import register

    register(params, files, files.registration)


STAGES = (
    Stage("ingest", "fetch the ratings", ("dataset",), _ingest, retries=2),
    Stage("validate", "check the ratings, set bad rows aside", ("checks",), _validate, outcome=_set_aside),
    Stage("split", "ratings to interactions, split per user", ("prepare", "split", "seed"), _split),
    Stage("pretrain", "train the teacher", ("teacher", "seed"), _pretrain, timedelta(hours=12)),
    Stage("augment", "add the teacher's pseudo interactions", ("augment",), _augment, timedelta(hours=4)),
    Stage("condense", "search the condensed set", ("condense", "dataset", "seed"), _condense, timedelta(days=1)),
    Stage(
        "evaluate",
        "train on full, condensed, baselines",
        ("evaluate", "condense", "seed"),
        _evaluate,
        timedelta(days=3),
    ),
    Stage("report", "write the report", (), _report),
    Stage(
        "register",
        "remember the run, register the set",
        (
            *("seed", "dataset", "checks", "prepare", "split", "teacher", "augment", "condense", "evaluate"),
            "registration",
        ),
        _register,
        retries=2,
    ),
)
BY_NAME = {stage.name: stage for stage in STAGES}
