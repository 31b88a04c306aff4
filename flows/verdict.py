"""What has become of the set that was registered last: people decide about it after the pipeline has ended."""

import os
from collections.abc import Mapping
from typing import Any

from flows.failure import USER_ERRORS
from flows.served import answers
from tasks.tracking_store import is_server
from tasks.workspace import Workspace


def verdict(registration: Mapping[str, Any]) -> str:
    """As MLflow has it now, or, where it does not answer, as it was when the set was registered.

    Args:
        registration: Content of ``registration.json``.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not is_server(uri) or answers(uri):  # MLflow itself would wait for it for a minute
        from tasks.model_registry import Registry  # MLflow comes with it
        from tasks.tracking import Tracker

        try:
            tracker = Tracker.open(registration["experiment"], Workspace().root / "mlflow")
            return Registry(tracker, registration["model"]).verdict(registration["version"])
        except USER_ERRORS:
            pass
    return f"{registration['decision']} when it was registered (MLflow does not answer)"
