"""What a run and a registered dataset are called, wherever they show up."""

import re
from pathlib import Path

from dconrec_core.data import DATASETS
from tasks.params import Component, PipelineParams

OWN = "file"
"""The dataset that is a file of the user's own."""
COMPRESSED = ".gz"
COMPARISONS = "dconrec-comparison"
"""MLflow's experiment of comparisons that are given no other."""


def run_name(params: PipelineParams) -> str:
    """Dataset, condenser and ratio: what tells one run from another."""
    return f"{data_name(params.dataset)} {params.condense.name} {params.condense.ratio:g}"


def model_name(params: PipelineParams) -> str:
    """The registered model."""
    return params.registration.name or f"{data_name(params.dataset)}-condensed"


def data_name(dataset: Component) -> str:
    """The dataset's name. Of a file of the user's own it is the file's, without ending, to tell two files apart."""
    if dataset.name != OWN:
        return dataset.name
    path = Path(str(dataset.config.get("path", OWN)))
    stem = path.with_suffix("").stem if path.suffix.lower() == COMPRESSED else path.stem
    name = re.sub(r"[^\w.-]+", "-", stem).strip(".-") or OWN
    return f"{OWN}-{name}" if name in DATASETS and name != OWN else name
