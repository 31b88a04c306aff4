"""How tasks and flows fail for a reason that is not a bug: a state with one line and no traceback."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.states import Failed

from dconrec_core.errors import DConRecError
from flows.failure import may_pass, one_line

STOPPED, UNREACHABLE, TIMED_OUT = "Stopped", "Unreachable", "TimedOut"
"""States of a failure that is not a bug: for good, of something that may answer the next time, and Prefect's own."""
KEPT = "Kept"
"""State of a part of a grid that an earlier run has finished."""
RETRY_SECONDS: list[float] = [5, 30]
"""Before the first and the second further try of what may answer the next time."""


class Interrupted(DConRecError):
    """Nobody waits for this part of a grid any more."""


def failed(what: str, error: BaseException) -> State[Any]:
    """The state of a task called ``what``."""
    return Failed(name=UNREACHABLE if may_pass(error) else STOPPED, message=f"{what}: {one_line(error)}")


def ended(state: State[Any]) -> State[Any]:
    """How a flow ends with one of its parts that did not complete: in its one line; a bug keeps its traceback."""
    expected = state.name in (STOPPED, UNREACHABLE, TIMED_OUT)
    return Failed(name=STOPPED, message=state.message) if expected else state


def is_unreachable(task: Task[..., Any], run: object, state: State[Any]) -> bool:
    """For ``retry_condition_fn``: whether another try can help."""
    return state.name == UNREACHABLE
