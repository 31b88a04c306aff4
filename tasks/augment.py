"""Stage augment: the teacher's best unseen items join the training interactions in the candidate pool."""

from pathlib import Path

import numpy as np

from dconrec_core.atomic import atomic_folder, write_json
from dconrec_core.condensation.augment import build_pool
from dconrec_core.data.io import read_part, write_pool
from dconrec_core.models.store import load_model
from dconrec_core.options import RunOptions
from tasks.params import AugmentParams
from tasks.reading import readable


def augment(params: AugmentParams, split: Path, teacher: Path, out: Path, options: RunOptions) -> None:
    """Build the candidate pool.

    Args:
        params: How many pseudo interactions each user gets.
        split: Folder of the split; only train is read.
        teacher: Folder of the fitted teacher.
        out: Folder for ``pool.parquet`` and ``pool.json``.
        options: Listener.
    """
    train = read_part(split, "train")
    with readable(f"the teacher in {teacher}", "run the pretrain stage again", TypeError, ValueError):
        model = load_model(teacher)
    pool = build_pool(model.score, train, params.pseudo_ratio, params.min_pseudo, options.named("candidate pool"))
    per_user = pool.interactions.user_degree - train.user_degree
    with atomic_folder(out) as folder:
        write_pool(folder, pool)
        counts = {
            "n_candidates": len(pool),
            "n_observed": int(pool.observed.sum()),
            "n_pseudo": int((~pool.observed).sum()),
            "pseudo_per_user": {"min": int(per_user.min()), "mean": float(per_user.mean()), "max": int(per_user.max())},
            "n_pseudo_items": int(np.unique(pool.interactions.items[~pool.observed]).size),
        }
        write_json(folder / "pool.json", counts)
