"""Register: replay the pipeline's files into MLflow, register the condensed dataset, let the gate decide ``champion``.

All is read from the files of the stages before, so both drivers leave the same and no other stage needs a tracker.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pandas as pd

from dconrec_core.atomic import write_json
from dconrec_core.errors import DataError
from tasks import tracked_figures
from tasks.gate import Outcome, judge, judge_files
from tasks.installed import installed
from tasks.model_registry import CHAMPION, DECISION, Registry
from tasks.naming import data_name, model_name, run_name
from tasks.outputs import read_csv, read_json, read_text
from tasks.params import OF_NO_STAGE, PipelineParams
from tasks.result_table import markdown, table
from tasks.rivals import AGAINST_CHAMPION, VALID_DRAWN, compare, dealt_anew, judge_rivals
from tasks.summary import POPULARITY_RANKER, TIMED_STAGES, Result, summarise
from tasks.tracked_data import data_inputs
from tasks.tracking import DataInput, Run, Tracker
from tasks.workspace import Workspace

PACKAGES = ("mlflow", "pandas", "pyarrow")
"""What loading a registered dataset needs."""


def register(params: PipelineParams, files: Workspace, out: Path) -> None:
    """Remember this pipeline run and its condensed dataset.

    Args:
        params: All of them: they are what the run is compared by.
        files: Where the stages wrote.
        out: Which run, which version, and what the gate decided.

    Raises:
        DataError: A file of a stage before is missing.
        TrackingError: MLflow does not answer.
    """
    _require_unaltered(files)
    card, evaluation = read_json(files.condensed / "card.json"), read_json(files.evaluation)
    timings = {stage: read_json(files.timing(stage), optional=True) for stage in TIMED_STAGES}
    results = summarise(evaluation, timings)
    outcomes = [*judge(params.registration.gate, results), *judge_files(files)]
    lineage = _lineage(files, card)
    tracker = Tracker.open(params.registration.experiment, files.root / "mlflow", _identity(params, files, lineage))
    registry = Registry(tracker, model_name(params))
    if all(outcome.passed for outcome in outcomes):  # else the champion stays whatever they are worth beside each other
        outcomes += _beside_champion(registry, params, files)
    with tracker.run(run_name(params), tags=_tags(params, card, outcomes) | lineage) as run:
        _log_settings(run, params, files, timings)
        _log_data(run, files, card, data_name(params.dataset))
        _log_results(run, files, results, card, timings)
        for training in _trainings(files, evaluation, timings):
            _log_training(tracker, run, training, data_inputs(files, card, data_name(params.dataset)))
        _log_teacher(tracker, run, files, params)
        _log_files(run, files)
        run.flush()
        registered = _register_dataset(registry, run, params, files, card, outcomes, lineage)
    write_json(out, {**registered, "gate": [outcome.as_dict() for outcome in outcomes]})


def _identity(params: PipelineParams, files: Workspace, lineage: Mapping[str, str]) -> str:
    """SHA-256 of what is told: equal for two tries of one registration, and for no two pipeline runs."""
    told = [files.timing(stage) for stage in TIMED_STAGES]
    told += [files.evaluation, files.metrics, files.curves, files.ratio_curve, files.search_history, files.report]
    digest = hashlib.sha256(params.model_dump_json().encode() + json.dumps(lineage, sort_keys=True).encode())
    for path in told:
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else b"").digest())
    return digest.hexdigest()


def _require_unaltered(files: Workspace) -> None:
    """Nothing is registered that is not what ``dvc.lock`` says; without Git and DVC nobody can tell."""
    from tasks.versioning import VersioningError, Versions

    try:
        with Versions(files.root) as versions:
            altered = versions.altered()
    except VersioningError:
        return
    if altered:
        raise DataError(
            f"{altered[0]} is not what dvc.lock says, altered on disk or in DVC's cache; remove it and run "
            "make demo, which looks through the cache, too"
        )


def _beside_champion(registry: Registry, params: PipelineParams, files: Workspace) -> list[Outcome]:
    """The rules that need a champion: none before the first, and none for a set that became it before a cut-off."""
    champion = registry.champion()
    if champion is None or registry.tracker.is_of_attempt(str(champion.run_id)):
        return []
    with tempfile.TemporaryDirectory(prefix="dconrec-") as scratch:
        folder, gate = Path(scratch) / "champion", params.registration.gate
        try:
            registry.fetch(folder)
        except DataError as error:  # it would block every later registration
            return [Outcome(AGAINST_CHAMPION, False, f"the champion cannot be read: {error}")]
        if refused := dealt_anew(params, registry.made_with(champion), files, folder):
            return [refused]
        return judge_rivals(gate, compare(gate, files, folder, params.seed))


def _lineage(files: Workspace, card: Mapping[str, Any]) -> dict[str, str]:
    """Which bytes and which code this is, for Git and DVC; without them (a test, a copied folder) the SHA-256 alone."""
    from tasks.versioning import VersioningError, Versions

    lineage = {"condensed.sha256": card["sha256"]}
    try:
        with Versions(files.root) as versions:
            lineage["git.commit"] = versions.git_commit()
            if dvc_hash := versions.hash_of(files.condensed.relative_to(files.root)):
                lineage["dvc.hash"] = dvc_hash
    except VersioningError:
        pass
    return lineage


def _tags(params: PipelineParams, card: Mapping[str, Any], outcomes: list[Outcome]) -> dict[str, str]:
    return {
        "dataset": data_name(params.dataset),
        "condenser": params.condense.name,
        "ratio": f"{params.condense.ratio:g}",
        "source": params.teacher.name,
        "downstream": ", ".join(params.evaluate.models),
        "seed": str(params.seed),
        "inductive": "yes" if card["inductive"] else "no",
        "users": "synthetic" if card["synthetic"] else "sampled" if card["inductive"] else "the source's",
        "gate": "passed" if all(outcome.passed for outcome in outcomes) else "failed",
        **{f"gate.{o.rule}": f"{'passed' if o.passed else 'failed'}: {o.reason}" for o in outcomes},
    }


def _log_settings(run: Run, params: PipelineParams, files: Workspace, timings: Mapping[str, Mapping[str, Any]]) -> None:
    run.params(_flat(params.model_dump(exclude=set(OF_NO_STAGE))))
    run.params({VALID_DRAWN: read_json(files.split / "split.json", optional=True).get("valid_drawn")})
    devices = {timing["device"] for timing in timings.values() if "device" in timing}
    run.tags({"device": ", ".join(sorted(devices)) or "unknown"})


def _log_data(run: Run, files: Workspace, card: Mapping[str, Any], dataset: str) -> None:
    run.datasets(list(data_inputs(files, card, dataset).values()))
    for name, folder in (("ratings", files.validated), ("prepared", files.split)):
        checks = read_json(folder / "checks.json", optional=True)
        run.metrics(
            {f"data/{name}_rows": checks.get("n_rows"), f"data/{name}_quarantined": checks.get("n_quarantined")}
        )
        for reason, count in checks.get("quarantined", {}).items():
            run.tags({f"quarantined.{_key(reason)}": count})


def _log_results(
    run: Run,
    files: Workspace,
    results: list[Result],
    card: Mapping[str, Any],
    timings: Mapping[str, Mapping[str, Any]],
) -> None:
    run.tags({"mlflow.note.content": markdown(table(results))})
    for result in results:
        prefix = f"{result.model}/{result.training_set}"
        run.metrics(
            {
                f"{prefix}/ndcg@10": result.ndcg and result.ndcg.mean,
                f"{prefix}/recall@20": result.recall and result.recall.mean,
                f"{prefix}/quality": result.quality and result.quality.mean,
                f"{prefix}/train_seconds": result.train_seconds,
                f"{prefix}/speed_up": result.speed_up,
            }
        )
    qualities = [r.quality.mean for r in results if r.training_set == "condensed" and r.quality]
    speed_ups = [r.speed_up for r in results if r.training_set == "condensed" and r.speed_up]
    seconds = [timing["stage_seconds"] for timing in timings.values() if "stage_seconds" in timing]
    run.metrics(
        {  # what runs are sorted and compared by; of several downstream models the worst
            "quality": min(qualities) if qualities else None,
            "speed_up": min(speed_ups) if speed_ups else None,
            "seconds": sum(seconds),
            "memory_mb": max((timing.get("peak_rss_mb", 0.0) for timing in timings.values()), default=0.0) or None,
        }
    )
    run.metrics(
        {
            f"condensed/{key}": card.get(key)
            for key in ("n_interactions", "n_users", "budget", "observed_share", "pseudo_share")
        }
    )
    run.metrics({f"seconds/{stage}": timing.get("stage_seconds") for stage, timing in timings.items()})
    search = read_csv(files.search_history)
    if "outer_epoch" in search:
        run.curve(search, step="outer_epoch", prefix="search/")


def _trainings(
    files: Workspace, evaluation: Mapping[str, Any], timings: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], pd.DataFrame, Mapping[str, Any]]]:
    """Each training with its curve and its seconds; the popularity ranking trains nothing."""
    curves = read_csv(files.curves)
    keys = ("training_set", "model", "seed")
    seconds = {tuple(row[key] for key in keys): row for row in timings["evaluate"].get("rows", [])}
    for row in evaluation["rows"]:
        if row["model"] == POPULARITY_RANKER:
            continue
        curve = curves
        for key in keys:
            curve = curve[curve[key] == row[key]] if key in curve else curve.iloc[:0]
        yield row, curve, seconds.get(tuple(row[key] for key in keys), {})


def _log_training(
    tracker: Tracker,
    parent: Run,
    training: tuple[Mapping[str, Any], pd.DataFrame, Mapping[str, Any]],
    inputs: Mapping[str, DataInput],
) -> None:
    row, curve, seconds = training
    told_as_metrics = {
        key: value for key, value in row.items() if isinstance(value, (int, float)) and key not in ("seed", "inductive")
    }
    with tracker.run(f"{row['model']} on {row['training_set']}, seed {row['seed']}", parent=parent) as run:
        run.params({key: row[key] for key in ("training_set", "model", "seed", "inductive") if key in row})
        run.params(_flat(row.get("config") or {}, "config."))
        if row["training_set"] in inputs:
            run.datasets([inputs[row["training_set"]]])
        run.metrics(told_as_metrics)
        run.metrics({key: seconds.get(key) for key in ("train_seconds", "tuning_seconds")})
        if "epoch" in curve:
            run.curve(
                curve[["epoch", *(column for column in ("loss", "valid_ndcg@10") if column in curve)]],
                step="epoch",
                prefix="curve/",  # beside the run's own valid_ndcg@10: MLflow takes a metric's last step for its value
            )


def _log_teacher(tracker: Tracker, parent: Run, files: Workspace, params: PipelineParams) -> None:
    with tracker.run(f"teacher {params.teacher.name}", parent=parent, tags={"teacher": params.teacher.name}) as run:
        run.params({"model": params.teacher.name, "training_set": "full", **_flat(params.teacher.config, "config.")})
        history = read_csv(files.teacher / "history.csv")
        if "epoch" in history:
            run.curve(history, step="epoch")


def _log_files(run: Run, files: Workspace) -> None:
    run.artifacts(files.report, files.metrics, files.evaluation, files.ratio_curve)
    checks = {"ratings": files.validated / "checks.json", "prepared": files.split / "checks.json"}
    for name, path in {**checks, "condensed": files.condensed_checks}.items():
        run.artifacts(path, folder=f"checks/{name}")
    for name, figure in tracked_figures.draw(read_csv(files.ratio_curve), read_csv(files.search_history)):
        run.client.log_figure(run.id, figure, f"figures/{name}.png")


def _register_dataset(
    registry: Registry,
    run: Run,
    params: PipelineParams,
    files: Workspace,
    card: Mapping[str, Any],
    outcomes: list[Outcome],
    lineage: Mapping[str, str],
) -> dict[str, Any]:
    import mlflow

    tracker, name = registry.tracker, registry.name
    tags = _tags(params, card, outcomes) | dict(lineage) | {"n_interactions": str(card["n_interactions"])}
    mlflow.set_tracking_uri(tracker.uri)
    resumed = tracker.attempt is not None and tracker.attempt.resumed
    versions = list(tracker.client.search_model_versions(f"run_id = '{run.id}'")) if resumed else []
    if not versions:
        # Unheard: it asks for type hints that it then rejects, and prints what the console says already.
        with mlflow.start_run(run_id=run.id), redirect_stderr(io.StringIO()):
            info = mlflow.pyfunc.log_model(
                name="condensed",
                python_model=str(Path(__file__).with_name("condensed_model.py")),
                artifacts={"condensed": str(files.condensed)},
                pip_requirements=[f"{package}=={installed(package)}" for package in PACKAGES],
                metadata={"kind": "condensed-dataset", "sha256": card["sha256"]},
            )
            versions = [mlflow.register_model(info.model_uri, name, tags=tags)]
    created, decision = str(versions[0].version), versions[0].tags.get(DECISION)
    if decision is None:  # else it was tried again, and a person may have decided since
        tracker.client.update_model_version(name, created, description=read_text(files.condensed / "card.md"))
        tracker.client.update_registered_model(name, f"Condensed sets of {data_name(params.dataset)}, made by DConRec.")
        registry.supersede(created)
        decision = _decide(registry, created, outcomes, approval=params.registration.approval)
    champion = registry.champion()
    return {
        "experiment": params.registration.experiment,
        "experiment_id": tracker.experiment_id,
        "run_id": run.id,
        "run_name": run_name(params),
        "model": name,
        "version": created,
        "uri": f"models:/{name}/{created}",
        "sha256": card["sha256"],
        CHAMPION: champion is not None and str(champion.version) == created,
        DECISION: decision,
    }


def _decide(registry: Registry, version: str, outcomes: list[Outcome], *, approval: bool) -> str:
    """What the gate's outcomes mean for the version, written to it."""
    refused = [f"{outcome.rule}: {outcome.reason}" for outcome in outcomes if not outcome.passed]
    if refused:
        registry.decide(version, "rejected", "; ".join(refused), "gate")
        return "rejected"
    reasons = "; ".join(f"{outcome.rule}: {outcome.reason}" for outcome in outcomes)
    if approval:
        registry.wait(version, reasons)
        return "waiting"
    registry.promote(version, reasons, "gate")
    return "promoted"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping) and value
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _key(text: str) -> str:
    """As a part of a tag's name: letters, digits and single underscores."""
    return "_".join("".join(char if char.isalnum() else " " for char in text).split())[:200]
