"""What a flow run leaves in Prefect's UI: how far it is, the table of results, where the report lies."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import cast
from uuid import UUID

from httpx import HTTPError
from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from dconrec_core.options import EpochEvent
from flows.pages import mlflow_pages, registration_of, report_page, run_page, version_page
from tasks.result_table import HEADER
from tasks.workspace import Workspace

UPDATE_SECONDS = 3.0
"""Between two updates, each of which is a request to the server."""


class ProgressBar:
    """One progress artifact for the whole flow: stages that are over, plus the share of the running one.

    Args:
        total: Stages there are.
        what: What a stage is called.
    """

    def __init__(self, total: int, what: str = "stages") -> None:
        self._total, self._done, self._updated = total, 0, 0.0
        self._sender: threading.Thread | None = None
        created = create_progress_artifact(progress=0.0, key="progress", description=f"{what} that are over")
        self._id = cast(UUID, created)  # outside an event loop it is no coroutine

    def epoch(self, event: EpochEvent, /) -> None:
        """Count the epochs of the running training, at most every few seconds.

        The clock of the training is running, and a request waits a minute for a server that is away: another thread
        sends it, and what comes meanwhile is left out.
        """
        if time.monotonic() - self._updated < UPDATE_SECONDS or (self._sender and self._sender.is_alive()):
            return
        share = min(event.epoch / max(event.total, 1), 1.0)
        self._updated = time.monotonic()
        # A thread has no flow run of its own, and would send to another server.
        self._sender = threading.Thread(target=copy_context().run, args=(self._update, share), daemon=True)
        self._sender.start()

    def stage_over(self) -> None:
        """One more stage is done, or had nothing to do."""
        if self._sender:
            self._sender.join()  # what it sends must not come last
        self._done += 1
        self._update(0.0)

    def _update(self, share_of_stage: float) -> None:
        with suppress(HTTPError):  # a server that is away for a moment is no reason to end a training
            update_progress_artifact(self._id, progress=100 * (self._done + share_of_stage) / self._total)


def publish_results(rows: Sequence[Sequence[str]], files: Workspace) -> None:
    """The table of results, and links to the report, to MLflow's run and to the registered set."""
    create_table_artifact(
        table=[dict(zip(HEADER, row, strict=True)) for row in rows],
        key="results",
        description="Trained on the condensed set and on what it is compared with; test split, mean over seeds",
    )
    registration, mlflow = registration_of(files), mlflow_pages()
    links = [("report", "what was condensed, how good it is", files.report.resolve().as_uri())]
    if mlflow and registration:
        links = [
            ("report", "what was condensed, how good it is", report_page(mlflow, registration)),
            ("mlflow-run", "settings, metrics and trainings of this run", run_page(mlflow, registration)),
            ("registered-set", "the condensed set and its card", version_page(mlflow, registration)),
        ]
    for key, description, link in links:
        create_link_artifact(link=link, link_text=key, key=key, description=description)


def publish_selection(rows: Sequence[Mapping[str, str]], files: Workspace) -> None:
    """The table of configurations and a link to the page."""
    create_table_artifact(
        table=[dict(row) for row in rows],
        key="selection",
        description="NDCG@10 of each configuration, trained on the condensed set and, all or a shortlist, on full data",
    )
    create_link_artifact(link=files.selection_page.resolve().as_uri(), link_text="selection.html", key="selection-page")


def publish_comparison(rows: Sequence[Mapping[str, str]]) -> None:
    """The table of cells."""
    create_table_artifact(
        table=[dict(row) for row in rows],
        key="comparison",
        description="Trained on the condensed set beside the same model on full data; test split",
    )


def link_comparison(link: str) -> None:
    """A link to MLflow's page with every cell."""
    create_link_artifact(link=link, link_text="every cell in MLflow (while make ui runs)", key="comparison-page")
