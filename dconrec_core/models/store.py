"""Fitted models on disk: weights as safetensors, name and config as JSON. No pickle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dconrec_core.atomic import atomic_file, write_json
from dconrec_core.errors import DataError
from dconrec_core.models import MODELS, Recommender
from dconrec_core.models.inductive import MENTIONED, over_mentioned_items
from dconrec_core.registry import lookup

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"


def save_model(folder: Path, name: str, model: Recommender) -> None:
    """Write ``weights.safetensors`` and ``model.json`` into ``folder``.

    Over an earlier model, ``model.json`` is gone until both are there: cut off, nothing loads rather than a mixture.
    """
    with atomic_file(folder / DESCRIPTION) as description, atomic_file(folder / WEIGHTS) as weights:
        save_file({key: np.ascontiguousarray(array) for key, array in model.state().items()}, weights)
        write_json(description, {"schema_version": 1, "model": name, "config": model.config.model_dump()})
        (folder / DESCRIPTION).unlink(missing_ok=True)  # the weights are renamed first


def stored_model_name(folder: Path) -> str:
    """Name in ``MODELS`` of the model in ``folder``; see ``load_model`` for the errors."""
    return str(_description(folder)["model"])


def load_model(folder: Path) -> Recommender:
    """Read what ``save_model`` wrote.

    Raises:
        DataError: A file is missing or unreadable.
        ConfigError: The model's name or config is not known to this version.
    """
    description, path = _description(folder), folder / DESCRIPTION
    entry = lookup(MODELS, description["model"], f"{path}: model")
    model = entry.build(entry.configure(f"{path}: config", description["config"]))
    try:
        weights = load_file(folder / WEIGHTS)
        model = over_mentioned_items(model, inductive=MENTIONED in weights)
        model.load_state(weights)
    except FileNotFoundError:
        raise DataError(f"{folder / WEIGHTS} does not exist; run the pretrain stage") from None
    except (SafetensorError, KeyError) as error:
        raise DataError(f"{folder / WEIGHTS} holds no weights of {description['model']!r}: {error}") from None
    return model


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; run the pretrain stage") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(description, dict) or not {"model", "config"} <= description.keys():
        raise DataError(f"{path} does not say 'model' and 'config'; run the pretrain stage again")
    return description
