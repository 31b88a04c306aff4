"""Our pairs in RecBole: its files, its configuration, its data loaders."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.data import create_dataset, data_preparation

PARTS = ("train", "valid", "test")
CUTOFFS = (5, 10, 20)


def prepare(
    folder: Path, model: str, pairs: Mapping[str, Iterable[tuple[int, int]]], settings: Mapping[str, Any]
) -> tuple[Config, Any, dict[str, Any]]:
    """Hand a ready-made split to RecBole, which ranks all items and masks what was seen.

    Args:
        folder: A temporary folder for RecBole's files.
        model: RecBole's name of a model.
        pairs: (user, item) pairs of ``train``, ``valid`` and ``test``.
        settings: Settings that depart from RecBole's defaults.

    Returns:
        RecBole's configuration and dataset, and a data loader for each part.
    """
    (folder / "split").mkdir(parents=True)
    for part in PARTS:
        rows = [f"{user}\t{item}" for user, item in pairs[part]]
        (folder / "split" / f"split.{part}.inter").write_text("\n".join(["user_id:token\titem_id:token", *rows]))
    config = Config(
        model=model,
        dataset="split",
        config_dict={
            "data_path": str(folder),
            "benchmark_filename": list(PARTS),
            "load_col": {"inter": ["user_id", "item_id"]},
            "eval_args": {"mode": "full", "order": "RO", "group_by": "user", "split": {"RS": [0.8, 0.1, 0.1]}},
            "metrics": ["Recall", "NDCG"],
            "valid_metric": "NDCG@10",
            "topk": list(CUTOFFS),
            "metric_decimal_place": 15,
            "use_gpu": False,
            "show_progress": False,
            "checkpoint_dir": str(folder / "saved"),
            **settings,
        },
    )
    dataset = create_dataset(config)
    return config, dataset, dict(zip(PARTS, data_preparation(config, dataset), strict=True))


def forget_propagated(network: Any) -> None:
    """Let a graph model whose weights were put back propagate again; it would score by the last epoch's otherwise."""
    for cached in ("restore_user_e", "restore_item_e"):
        if hasattr(network, cached):
            setattr(network, cached, None)
