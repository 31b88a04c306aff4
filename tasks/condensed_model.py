"""The code MLflow stores with a registered condensed dataset ("models from code"): no pickle, nothing of this project.

``mlflow.pyfunc.load_model("models:/NAME@champion").predict(None)`` gives the interactions in the ids of the source.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class RegisteredDataset(PythonModel):
    """A condensed dataset behind the interface of a model: asked for anything, it answers with its interactions."""

    def load_context(self, context: PythonModelContext) -> None:
        """Remember where the files are."""
        self.folder = Path(context.artifacts["condensed"])

    # No type hint on model_input: MLflow would take it for a schema to check.
    def predict(self, context: PythonModelContext, model_input, params: dict[str, Any] | None = None) -> pd.DataFrame:  # type: ignore[no-untyped-def]
        """The interactions: user_id and item_id of the source, dense user and item, origin, keep-probability."""
        return pd.read_parquet(self.folder / "interactions.parquet")


mlflow.models.set_model(RegisteredDataset())
