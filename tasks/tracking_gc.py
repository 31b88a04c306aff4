"""Runs and versions of MLflow that are old, that nobody chose and that nothing refers to."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from tasks.model_registry import BEFORE, CHAMPION
from tasks.retention import Unneeded, size_of
from tasks.tracking import PAGE, TrackingError, of_all_pages, of_name, parent_of, told
from tasks.tracking_store import SQLITE

AT_ONCE = 500
"""Runs that ``mlflow gc`` is given at once: an argument has at most 128 KiB, and an id 33 bytes."""
KEEP_TAG = "keep"
"""A version or a run that carries it stays, whatever its value."""


@dataclass
class OldRuns:
    """What may go from one store.

    Args:
        uri: The store.
        versions: Registered versions.
        runs: Runs with their nested ones.
        models: Ids of the models that those runs logged.
        kept_hashes: DVC's hashes of the sets that the versions which stay are of.
    """

    uri: str
    versions: list[ModelVersion] = field(default_factory=list)
    runs: list[MlflowRun] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    kept_hashes: set[str] = field(default_factory=set)

    def unneeded(self) -> list[Unneeded]:
        """For the list of what goes; removing the runs removes the versions first."""
        return [
            Unneeded("registered versions", len(self.versions), 0, lambda: None),
            Unneeded("runs of MLflow", len(self.runs), sum(map(size_of, self._folders())), self.remove),
        ]

    def _folders(self) -> list[Path]:
        """Where their artifacts lie, on this disk."""
        folders = [_local(run.info.artifact_uri).parent for run in self.runs]
        return [*folders, *(folder.parent / "models" / model for folder in folders[:1] for model in self.models)]

    def remove(self) -> None:
        """Remove them: for good from a local database, else as MLflow's own page does, for ``mlflow gc`` to finish."""
        client = MlflowClient(self.uri)
        with told(self.uri):
            for version in self.versions:
                client.delete_model_version(version.name, version.version)
            for model in self.models:
                client.delete_logged_model(model)
            for run in self.runs:
                if _is_active(run):
                    client.delete_run(run.info.run_id)
        if self.uri.startswith(SQLITE) and self.runs:
            for folder in self._folders():  # mlflow gc leaves them, and a run that it removed names its own no more
                shutil.rmtree(folder, ignore_errors=True)
            for start in range(0, len(self.runs), AT_ONCE):
                self._finish(self.runs[start : start + AT_ONCE])
            with sqlite3.connect(self.uri.removeprefix(SQLITE)) as database:
                database.execute("VACUUM")

    def _finish(self, runs: Sequence[MlflowRun]) -> None:
        """Remove for good runs that are marked as deleted, and every model that is."""
        options = ["--backend-store-uri", self.uri, "--tracking-uri", self.uri]
        options += ["--run-ids", ",".join(run.info.run_id for run in runs)]
        done = subprocess.run([sys.executable, "-m", "mlflow", "gc", *options], capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise TrackingError(f"mlflow gc at {self.uri}: {said}; the runs are marked as deleted, run it again")


def old_runs(uri: str, experiments: Collection[str], keep: int) -> OldRuns:
    """Versions beyond the last ``keep`` of each registered model, and runs beyond the last ``keep`` of each experiment.

    A version with an alias or the tag ``keep`` stays, so do the last ``keep`` champions (two at least), and so does the
    run that a version which stays came from. So do runs with their artifacts in another folder of this disk than that
    of their SQLite file: this is a copy of the project, then, and they are the original's. Runs of a local database
    that are marked as deleted already, by a removal that was cut off or on MLflow's page, go with them.

    Args:
        uri: The store; a SQLite file that does not exist has none.
        experiments: Names of the experiments that are ours.
        keep: See above.

    Raises:
        TrackingError: MLflow does not answer.
    """
    found = OldRuns(uri)
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return found
    client = MlflowClient(uri)
    with told(uri):
        ids = [e.experiment_id for name in experiments if (e := client.get_experiment_by_name(name))]
        view = ViewType.ALL if uri.startswith(SQLITE) else ViewType.ACTIVE_ONLY
        all_runs = [run for one in ids for run in _runs(client, one, view)]
        runs = {run.info.run_id: run for run in all_runs if not _elsewhere(uri, run)}
        active = {run_id for run_id, run in runs.items() if _is_active(run)}
        stays, registered = set(), []
        for model in of_all_pages(lambda token: client.search_registered_models(max_results=PAGE, page_token=token)):
            versions = _versions(client, model.name)
            registered += versions
            newest_first = sorted(versions, key=lambda version: int(version.version), reverse=True)
            chosen = {str(number) for number in model.aliases.values()} | _champions(model, versions, keep)
            for place, version in enumerate(newest_first):
                is_ours = version.run_id in active
                if not is_ours or place < keep or str(version.version) in chosen or KEEP_TAG in version.tags:
                    stays.add(version.run_id)
                else:
                    found.versions.append(version)
        stays |= {run_id for run_id, run in runs.items() if KEEP_TAG in run.data.tags}
        stays |= {parent_of(runs[run_id]) for run_id in stays if run_id in runs}  # a nested run is shown under its own
        for one in ids:
            ours = [run for run in runs.values() if run.info.experiment_id == one]
            top = [run for run in ours if _is_active(run) and not parent_of(run)]
            top.sort(key=lambda run: run.info.start_time, reverse=True)
            old = [*top[keep:], *(run for run in ours if not _is_active(run))]
            goes = {run.info.run_id for run in old} - stays
            found.runs += [run for run in ours if run.info.run_id in goes or parent_of(run) in goes]
        gone = {run.info.run_id for run in found.runs}
        found.versions = [version for version in found.versions if version.run_id in gone]
        going = {(version.name, version.version) for version in found.versions}
        kept = (version for version in registered if (version.name, version.version) not in going)
        found.kept_hashes = {version.tags["dvc.hash"] for version in kept if "dvc.hash" in version.tags}
        if found.runs:
            models = of_all_pages(lambda token: client.search_logged_models(ids, max_results=PAGE, page_token=token))
            found.models = [model.model_id for model in models if model.source_run_id in gone]
    return found


def _champions(model: RegisteredModel, versions: Sequence[ModelVersion], keep: int) -> set[str]:
    """The present champion and those that rollbacks would go to, ``keep`` in all but always one to go back to."""
    before = {str(version.version): version.tags.get(BEFORE, "") for version in versions}
    found: set[str] = set()
    number = str(model.aliases.get(CHAMPION, ""))
    while number in before and number not in found and len(found) < max(keep, 2):
        found.add(number)
        number = before[number]
    return found


def _runs(client: MlflowClient, experiment: str, view: int) -> list[MlflowRun]:
    return of_all_pages(lambda token: client.search_runs([experiment], "", view, PAGE, page_token=token))


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    return of_all_pages(lambda token: client.search_model_versions(of_name(name), max_results=PAGE, page_token=token))


def _is_active(run: MlflowRun) -> bool:
    return str(run.info.lifecycle_stage) == "active"


def _elsewhere(store: str, run: MlflowRun) -> bool:
    folder = Path(store.removeprefix(SQLITE)).resolve().parent
    place = urlparse(run.info.artifact_uri)
    return (
        store.startswith(SQLITE) and place.scheme == "file" and not _local(run.info.artifact_uri).is_relative_to(folder)
    )


def _local(uri: str) -> Path:
    """A folder on this disk; one that does not exist for any other place."""
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(url2pathname(parsed.path))
    return Path("/nonexistent/artifacts") if parsed.scheme else Path(uri)
