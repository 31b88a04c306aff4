"""The data of a run in MLflow: which bytes a training learned from."""

from collections.abc import Mapping
from typing import Any

from dconrec_core.data.download import file_sha256
from tasks.outputs import read_json
from tasks.tracking import DataInput
from tasks.workspace import Workspace


def data_inputs(files: Workspace, card: Mapping[str, Any], dataset: str) -> dict[str, DataInput]:
    """Full data and the condensed set, by the name of the training set.

    Args:
        files: Where the stages wrote.
        card: That of the condensed set.
        dataset: Name of the source.
    """
    train = files.split / "train.parquet"
    split = read_json(files.split / "split.json")
    return {
        "full": DataInput(
            dataset, file_sha256(train), train, "training", split["n_train"], split["n_users"], split["n_items"]
        ),
        "condensed": DataInput(
            *(f"{dataset}-condensed", card["sha256"], files.condensed, "condensed"),
            *(card["n_interactions"], card["n_users"], card["n_items"]),
        ),
    }
