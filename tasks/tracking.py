"""The tracker: one MLflow store, initialised once, written in batches."""

import logging
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from filelock import FileLock

from dconrec_core.errors import DConRecError
from tasks.tracking_attempt import TAG, Attempt
from tasks.tracking_store import ARTIFACTS, SQLITE, follow, make_store, store_uri

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.ERROR)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its tracebacks are of what is raised anyway
warnings.filterwarnings("ignore", module=r"mlflow\..*")

from mlflow import MlflowClient, MlflowException  # noqa: E402  (after its voice is lowered)
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag  # noqa: E402
from mlflow.entities import Run as MlflowRun  # noqa: E402
from mlflow.store.entities.paged_list import PagedList  # noqa: E402
from requests import RequestException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

T = TypeVar("T")
PAGE = 1000
"""Entries that MLflow is asked for at once, the most that it gives of some."""
BATCH = 1000
"""The most metrics one request of MLflow may carry."""
PARAM_LENGTH = 6000
REFUSALS = (
    "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND",
    "PERMISSION_DENIED", "UNAUTHENTICATED",
)  # fmt: skip
"""What MLflow's errors are where it works and says no. Of a damaged database it says BAD_REQUEST."""


class TrackingError(DConRecError):
    """The tracking server or database does not answer, or refuses what it is given."""


def metric_name(name: str) -> str:
    """MLflow allows no ``@``: ``recall@20`` becomes ``recall_at_20``."""
    return name.replace("@", "_at_")


@contextmanager
def told(uri: str) -> Iterator[None]:
    """MLflow's errors as ours, in one line."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TrackingError(f"MLflow at {uri}: {reason}; {_way_out(error, reason)}") from error


def _way_out(error: Exception, reason: str) -> str:
    if "disk is full" in reason:  # SQLite's words
        return "free some space and run again; finished stages are kept"
    if _no_answer(error):
        return "check MLFLOW_TRACKING_URI, and whether its server runs"
    if isinstance(error, MlflowException) and error.error_code in REFUSALS:
        return "correct what it names; where that is right, check MLFLOW_TRACKING_URI"
    return "check MLFLOW_TRACKING_URI, or move its database aside"


@dataclass
class Tracker:
    """One experiment of one store."""

    uri: str
    client: MlflowClient
    experiment_id: str
    attempt: Attempt | None = None
    _begun: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def open(cls, experiment: str, home: Path, identity: str | None = None) -> "Tracker":
        """Connect to ``MLFLOW_TRACKING_URI`` (a SQLite file in ``home`` by default) and find or make the experiment.

        A fresh SQLite file is broken for good when two processes initialise it at once, hence the lock.

        Args:
            experiment: Its name.
            home: Folder for database, artifacts and lock where the variable is not set. Artifacts always lie beside the
                database, also when this is a temporary copy of the project and the database is not, and when the
                project was copied or moved with both.
            identity: Of all that will be told, where an attempt that is cut off shall be gone on with.
        """
        uri = store_uri(home)
        database = Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None
        place = database.parent if database else home
        place.mkdir(parents=True, exist_ok=True)
        with told(uri), FileLock(place / ".init.lock"):
            if database:
                make_store(database)
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(experiment)
            if found and found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            # A server knows where its artifacts belong.
            artifacts = (place / ARTIFACTS).as_uri() if database else None
            if found and database and artifacts:
                follow(database, found.artifact_location, artifacts)
            experiment_id = (
                found.experiment_id if found else client.create_experiment(experiment, artifact_location=artifacts)
            )
            tracker = cls(uri, client, experiment_id)
            if identity is not None:
                told_to = f"{identity} {uri} {experiment_id}"
                tracker.attempt = Attempt.begin(place, experiment_id, told_to, tracker._end)
        if tracker.attempt:
            begun = tracker._runs_of(tracker.attempt.id) if tracker.attempt.resumed else []
            tracker._begun = {(run.info.run_name or "", parent_of(run)): run.info.run_id for run in begun}
        return tracker

    def is_of_attempt(self, run_id: str) -> bool:
        """Whether this attempt made the run before it was cut off."""
        return run_id in self._begun.values()

    def _runs_of(self, attempt: str, which: str = "") -> list[MlflowRun]:
        """Runs that an attempt made."""
        ours, asked = [self.experiment_id], f"tags.`{TAG}` = '{attempt}' {which}"
        with told(self.uri):
            return of_all_pages(lambda token: self.client.search_runs(ours, asked, max_results=PAGE, page_token=token))

    def _end(self, attempt: str) -> None:
        """Nobody goes on with an attempt: what it left running is not."""
        with told(self.uri):
            for run in self._runs_of(attempt, "AND attributes.status = 'RUNNING'"):
                self.client.set_terminated(run.info.run_id, "KILLED")

    @contextmanager
    def run(self, name: str, parent: "Run | None" = None, tags: Mapping[str, str] | None = None) -> Iterator["Run"]:
        """A run that is FINISHED when the block ends, FAILED when it raises."""
        all_tags = {"mlflow.source.name": "dconrec", "mlflow.source.type": "PROJECT", **(tags or {})}
        if parent:
            all_tags["mlflow.parentRunId"] = parent.id
        if self.attempt:
            all_tags[TAG] = self.attempt.id
        with told(self.uri):
            run = self._begin(name, parent, all_tags)
            try:
                yield run
                run.flush()
            except BaseException as error:
                if not _no_answer(error):  # a server that is away would be waited for once more
                    self.client.set_terminated(run.id, "FAILED")
                raise
            self.client.set_terminated(run.id, "FINISHED")

    def _begin(self, name: str, parent: "Run | None", tags: dict[str, str]) -> "Run":
        begun = self._begun.get((name, parent.id if parent else ""))
        if begun is None:
            info = self.client.create_run(self.experiment_id, run_name=name, tags=tags).info
        else:
            self.client.update_run(begun, status="RUNNING")
            info = self.client.get_run(begun).info
            self.client.log_batch(begun, tags=[RunTag(key, value) for key, value in tags.items()])
        return Run(self.client, info.run_id, info.start_time)


def of_all_pages(search: Callable[[str | None], PagedList[T]]) -> list[T]:
    """What a search finds in all; ``search`` takes the token of a page, None for the first."""
    page = search(None)
    found = list(page)
    while page.token:
        page = search(page.token)
        found += page
    return found


def of_name(name: str) -> str:
    """MLflow's filter for the versions of a registered model; its parser takes either quote, and escapes none."""
    quote = '"' if "'" in name else "'"
    return f"name = {quote}{name}{quote}"


def parent_of(run: MlflowRun) -> str:
    """Id of the run that a nested one belongs to; empty for others."""
    return str(run.data.tags.get("mlflow.parentRunId", ""))


def _no_answer(error: BaseException) -> bool:
    """Whether the network is behind it, as ``requests`` says it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RequestException):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@dataclass
class Run:
    """One run; metrics wait until ``flush``, since single ones cost a request each.

    They carry the time at which the run began: MLflow keeps a metric of the same step, time and value once, so sending
    them again changes nothing.
    """

    client: MlflowClient
    id: str
    started: int
    _waiting: list[Metric] = field(default_factory=list)

    def params(self, params: Mapping[str, Any]) -> None:
        """Settings, as text."""
        texts = [Param(key.replace("@", "_at_"), str(value)[:PARAM_LENGTH]) for key, value in params.items()]
        self.client.log_batch(self.id, params=texts)

    def tags(self, tags: Mapping[str, Any]) -> None:
        """Tags, as text."""
        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Numbers of one step; what is missing or NaN is left out."""
        self._waiting += [
            Metric(metric_name(name), float(value), self.started, step)
            for name, value in metrics.items()
            if isinstance(value, (int, float)) and not pd.isna(value)
        ]

    def curve(self, table: pd.DataFrame, step: str, prefix: str = "") -> None:
        """One stepped metric a numeric column, with column ``step`` as the step."""
        names = [name for name in table.select_dtypes("number").columns if name != step]
        for row in table.to_dict("records"):
            self.metrics({f"{prefix}{name}": row[name] for name in names}, step=int(row[step]))

    def datasets(self, inputs: Sequence["DataInput"]) -> None:
        """Data that went in, each with the digest of its whole content."""
        self.client.log_inputs(self.id, datasets=[data.entity() for data in inputs])

    def artifacts(self, *paths: Path, folder: str | None = None) -> None:
        """Files or folders; those that do not exist are left out."""
        for path in paths:
            if path.is_dir():
                self.client.log_artifacts(self.id, str(path), f"{folder}/{path.name}" if folder else path.name)
            elif path.is_file():
                self.client.log_artifact(self.id, str(path), folder)

    def flush(self) -> None:
        """Send the metrics that wait."""
        for start in range(0, len(self._waiting), BATCH):
            self.client.log_batch(self.id, metrics=self._waiting[start : start + BATCH])
        self._waiting.clear()


@dataclass(frozen=True)
class DataInput:
    """A dataset of a run.

    MLflow's own digest covers the first 10,000 rows alone and its profile scans every cell, so neither is used.
    """

    name: str
    digest: str
    source: Path
    context: str
    n_rows: int
    n_users: int
    n_items: int

    def entity(self) -> DatasetInput:
        """As MLflow stores it."""
        import json

        profile = json.dumps({"num_rows": self.n_rows, "num_users": self.n_users, "num_items": self.n_items})
        dataset = Dataset(
            name=self.name,
            digest=self.digest[:36],  # the longest MLflow's database takes
            source_type="local",
            source=json.dumps({"uri": self.source.as_posix()}),
            profile=profile,
        )
        tags = {"mlflow.data.context": self.context, "sha256": self.digest}
        return DatasetInput(dataset, [InputTag(key, value) for key, value in tags.items()])
