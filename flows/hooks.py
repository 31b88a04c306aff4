"""What happens when a flow fails: one line in a file that can be watched, and a page on the run in Prefect's UI."""

from datetime import datetime
from typing import Any

from prefect import Flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from flows.served import home

FAILURES = "failures.log"


def remember_failure(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:
    """Append one line to ``.prefect/logs/failures.log`` and leave an artifact; for ``on_failure`` and ``on_crashed``."""
    reason = " ".join((state.message or "no message").split())
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    file = home() / "logs" / FAILURES
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(f"{when} {flow.name} {run.name!r} {state.name}: {reason}\n")
    except OSError as error:  # a full disk is no reason to fail twice
        flow_run_logger(run, flow).warning("%s: %s", file, error.strerror)
    create_markdown_artifact(
        key="failure",
        description=f"{state.name}: {reason}"[:300],
        markdown=page(flow.name, run, state.name or "", reason),
    )


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
