"""Champion and challenger side by side on the validation split of today: all users, those with little, those new.

Each set trains the same quick model; both rank the same users' validation interactions with the same seen items masked.
That is fair as long as neither was made from what is asked, which a valid part drawn anew does not keep.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dconrec_core.condensation.dataset import read_card, read_condensed
from dconrec_core.data import DATASETS
from dconrec_core.data.io import read_part, read_table
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.inductive import Inductive
from dconrec_core.options import RunOptions
from dconrec_core.registry import Config, lookup
from dconrec_core.types import Interactions
from tasks.gate import Outcome
from tasks.outputs import read_json
from tasks.params import GateParams, PipelineParams
from tasks.refresh import new_users
from tasks.warm import translated
from tasks.workspace import Workspace

AGAINST_CHAMPION = "against_champion"
JUDGE = "ridge"
"""In closed form, a second at most on any condensed set, and able to fold users in and to look them up."""
VALID_DRAWN = "split.valid_drawn"
"""What the run of a set says of its split, beside its settings."""
DIVIDING_COLUMNS = ("part", "timestamp", "timestamp_unit")
"""Settings of a file of the user's own that decide on the split."""
GROUPS = ("all", "tail", "new")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class GroupQuality:
    """NDCG@10 of one group of users with each set."""

    champion: float
    challenger: float
    n_users: int


def compare(gate: GateParams, files: Workspace, champion: Path, seed: int) -> dict[str, GroupQuality]:
    """Measure both sets on the groups of ``GROUPS``.

    Args:
        gate: How many users are the tail.
        files: Of the challenger.
        champion: Folder of the champion.
        seed: Of the judge.

    Raises:
        DataError: A file is missing or altered.
    """
    train, valid = read_part(files.split, "train"), read_part(files.split, "valid")
    ndcg = {
        name: _ndcg(folder, files, train, valid, seed)
        for name, folder in (("champion", champion), ("challenger", files.condensed))
    }
    users = RankingTask.valid(train, valid).users
    ids = read_table(files.split / "users.parquet")["user_id"].astype(str).to_numpy()[users]
    groups: Mapping[str, Mask] = {
        "all": np.ones(len(users), dtype=bool),
        "tail": tail(train.user_degree[users], gate.tail_share),
        "new": np.isin(ids, sorted(new_users(files))),
    }
    return {
        name: GroupQuality(*(float(ndcg[side][mask].mean()) if mask.any() else 0.0 for side in ndcg), int(mask.sum()))
        for name, mask in groups.items()
    }


def dealt_anew(
    params: PipelineParams, made_with: Mapping[str, str], files: Workspace, champion: Path
) -> Outcome | None:
    """Why champion and challenger cannot be compared; None where they can.

    A drawn valid part is drawn anew when the data, the seed or the preparation changes, and one by time moves when its
    settings do: the champion was then made from part of what valid asks today, and would win by that alone.

    Args:
        params: Of today.
        made_with: Settings of the champion's run, as text by dotted name.
        files: Of the challenger.
        champion: Folder of the champion.

    Raises:
        DataError: A file is missing or altered.
    """
    theirs, ours = read_card(champion).source_fingerprint, read_part(files.split, "train").fingerprint()
    if theirs == ours:
        return None
    for name, today, default in _division(params):
        if (then := made_with.get(name, default)) != today:
            return _incomparable(
                f"the champion was made with {name} {then}, today's split with {today}, so part of what it was made "
                "from may be in today's valid; set that back, or registration.name for a model of its own"
            )
    if read_json(files.split / "split.json")["valid_drawn"] or made_with.get(VALID_DRAWN) == "True":
        return _incomparable(
            f"the champion was made from another drawing of valid ({theirs[:12]}…, today's is {ours[:12]}…), and so "
            "from part of today's: nothing tells which is better; set split.strategy: temporal (or given, with a valid "
            "part) and registration.name for a model of its own"
        )
    return None


def _division(params: PipelineParams) -> Iterator[tuple[str, str, str]]:
    """Name, today's value and default of what decides which interactions are asked about, as the run of a set has them.

    A run from before a setting lacks it. A given split is the source's.
    """
    dataset = lookup(DATASETS, params.dataset.name, "dataset.name").configure("dataset.config", params.dataset.config)
    sections: list[tuple[str, Config, Iterable[str]]] = [
        ("split", params.split, ["strategy"]),
        ("dataset.config", dataset, DIVIDING_COLUMNS),
    ]
    if params.split.strategy == "temporal":
        sections += [("split", params.split, dict(params.split)), ("prepare", params.prepare, dict(params.prepare))]
    for section, config, names in sections:
        for name in names:
            field = type(config).model_fields.get(name)
            yield f"{section}.{name}", str(getattr(config, name, None)), str(field.default if field else None)


def _incomparable(reason: str) -> Outcome:
    return Outcome(AGAINST_CHAMPION, False, reason)


def tail(degree: npt.NDArray[np.int64], share: float) -> Mask:
    """The users with the fewest training interactions: ``share`` of them, and all who have no more than the last."""
    if not len(degree):
        return np.zeros(0, dtype=bool)
    last = np.sort(degree)[max(0, int(np.ceil(share * len(degree))) - 1)]
    return np.asarray(degree <= last)


def judge_rivals(gate: GateParams, measured: Mapping[str, GroupQuality]) -> list[Outcome]:
    """Each group's rule: the challenger may lose a little, and a group of few users decides nothing."""
    most = {"all": gate.max_loss, "tail": gate.max_tail_loss, "new": gate.max_new_loss}
    words = {
        "all": "all users",
        "tail": f"the {gate.tail_share:.0%} of users with the fewest interactions",
        "new": "users of the latest increment",
    }
    rules = {"all": AGAINST_CHAMPION, "tail": "tail_users", "new": "new_users"}
    outcomes = []
    for group in GROUPS:
        one = measured[group]
        reason = f"{words[group]} ({one.n_users}): NDCG@10 on valid {one.challenger:.4f} against {one.champion:.4f}"
        if group != "all" and one.n_users < gate.min_users:
            outcomes.append(Outcome(rules[group], True, f"{reason}; fewer than {gate.min_users} decide nothing"))
            continue
        passed = one.challenger >= one.champion * (1 - most[group])
        outcomes.append(Outcome(rules[group], passed, f"{reason}, at most {most[group]:.1%} may be lost"))
    return outcomes


def _ndcg(
    folder: Path, files: Workspace, train: Interactions, valid: Interactions, seed: int
) -> npt.NDArray[np.float64]:
    """NDCG@10 on valid of each user who has something to find, with the judge trained on a set of any catalogue."""
    condensed = read_condensed(folder)
    pairs = condensed.interactions
    items = translated(read_table(folder / "items.parquet"), read_table(files.split / "items.parquet"), "item")
    users, n_users = np.arange(pairs.n_users, dtype=np.int32), pairs.n_users
    if not condensed.inductive:
        users = translated(read_table(folder / "users.parquet"), read_table(files.split / "users.parquet"), "user")
        n_users = train.n_users
    known = (items[pairs.items] >= 0) & (users[pairs.users] >= 0)
    owner, item = users[pairs.users[known]], items[pairs.items[known]]
    order = np.lexsort((item, owner))
    of_today = Interactions.of(owner[order], item[order], n_users, train.n_items)
    # Folded in whatever the set: users that a set knows nothing of are then ranked by their own histories.
    task = RankingTask.valid(train, valid, inductive=True)
    entry = MODELS[JUDGE]
    judge = Inductive(entry.build(entry.config_class()))
    judge.fit(of_today, task, RunOptions(seed, "cpu"))
    return np.asarray(task.per_user(task.score_of(judge), (10,))["ndcg@10"], dtype=np.float64)
