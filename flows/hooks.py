"""What happens when a flow fails: one line in a file that can be watched, and a page on the run in Prefect's UI."""

from datetime import datetime
from typing import Any

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from flows.served import home

FAILURES = "failures.log"


def remember_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Append one line to ``.prefect/logs/failures.log``, leave an artifact; for ``on_failure`` and ``on_crashed``."""
    reason = " ".join((state.message or "no message").split())
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    file = home() / "logs" / FAILURES
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{when} {flow.name} {flow_run.name!r} {state.name}: {reason}\n")
    except OSError as error:  # a full disk is no reason to fail twice
        flow_run_logger(flow_run, flow).warning("%s: %s", file, error.strerror)
    artifact = ArtifactCreate(  # by hand: the flow is over, so nothing else knows which run it belongs to
        key="failure",
        type="markdown",
        description=f"{state.name}: {reason}"[:300],
        data=page(flow.name, flow_run, state.name or "", reason),
        flow_run_id=flow_run.id,
    )
    with get_client(sync_client=True) as client:
        client.create_artifact(artifact)


def page(flow: str, run: FlowRun, state: str, reason: str) -> str:
    """What failed, why, and what to do."""
    parameters = ", ".join(f"{name}={value!r}" for name, value in run.parameters.items() if value) or "the defaults"
    return "\n".join(
        (
            f"**{flow} {run.name}** ended as *{state}*:",
            "",
            "```text",
            reason,
            "```",
            "",
            f"- Parameters: {parameters}",
            "- Finished stages are kept: start the run again (or wait for the next one) and it goes on from there.",
            "- Its log is on this run's page; what its process wrote is in `.prefect/logs/worker.log`.",
        )
    )
