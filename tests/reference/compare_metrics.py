"""What RecBole 1.2.1's own data loaders, masking and evaluator make of the rankings in ``cases.py``.

Writes ``expected_metrics.json``, which ``tests/core/test_reference_metrics.py`` compares with. Run from the project's
root in the environment of ``requirements.txt``: ``python -m tests.reference.compare_metrics`` (see README.md).
"""

import contextlib
import json
import tempfile
from pathlib import Path

import numpy as np
import recbole
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.trainer import Trainer
from recbole.utils import InputType

from tests.reference._recbole import PARTS, prepare
from tests.reference.cases import N_ITEMS, Case, cases

EXPECTED = Path(__file__).with_name("expected_metrics.json").resolve()
TIE_BREAK = 1e-9  # torch.topk leaves the order of ties open; our rule is "the lower id first", here made explicit


class FixedScores(GeneralRecommender):
    """A 'model' that answers with the scores of a case, translated to RecBole's internal ids."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset, scores):
        """Put ``scores`` [users, items] into the order in which RecBole numbered the ids it read."""
        super().__init__(config, dataset)
        users = [int(token) for token in dataset.field2id_token["user_id"][1:]]  # 0 is its padding
        items = [int(token) for token in dataset.field2id_token["item_id"][1:]]
        exact = scores.astype(np.float64) - TIE_BREAK * np.arange(N_ITEMS)
        table = np.zeros((len(users) + 1, len(items) + 1))
        table[1:, 1:] = exact[np.ix_(users, items)]
        self.table = torch.nn.Parameter(torch.from_numpy(table))  # the trainer insists on having one

    def full_sort_predict(self, interaction):
        """Scores of all items for the users of a batch."""
        return self.table.detach()[interaction["user_id"]]


def judge(case: Case, folder: Path) -> dict[str, dict[str, float]]:
    """RecBole's metrics of a case: valid with train masked, test with train and valid masked."""
    pairs = {part: getattr(case, part) for part in PARTS}
    # A few users a batch, so that joining batches is compared too.
    config, dataset, loaders = prepare(folder, "BPR", pairs, {"eval_batch_size": 1000})
    trainer = Trainer(config, FixedScores(config, dataset, case.scores))
    return {
        part: {name: float(value) for name, value in trainer.evaluate(loaders[part], load_best_model=False).items()}
        for part in ("valid", "test")
    }


def main() -> None:
    """Judge every case and write what came out."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # RecBole logs into the working directory
        judged = {
            name: {"inputs_sha256": case.sha256(), **judge(case, Path(folder, name))} for name, case in cases().items()
        }
    versions = {"recbole": recbole.__version__, "numpy": np.__version__, "torch": torch.__version__.split("+")[0]}
    EXPECTED.write_text(json.dumps({"versions": versions, "cases": judged}, indent=2) + "\n")
    print(f"wrote {EXPECTED.name}")


if __name__ == "__main__":
    main()
