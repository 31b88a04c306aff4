import shutil

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.condensation.dataset import read_card, read_condensed
from dconrec_core.data.io import read_part, read_pool
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.splitting import random_split
from dconrec_core.types import Budget
from flows.params import read_params
from tasks.params import CondenseParams, GateParams
from tasks.rivals import GroupQuality, compare, dealt_anew, judge_rivals, tail
from tasks.warm import WarmAuto, translated, warm_condenser
from tasks.workspace import Workspace
from tests.tasks.small_stages import OPTIONS, run_augment, run_condense, run_pretrain, write_split_folder

SYNTHETIC = CondenseParams(name="synthetic-users", ratio=0.25, config={"steps": 30})


@pytest.fixture(scope="module")
def files(tmp_path_factory, planted_split):
    """A split and a set of made-up users of it."""
    files = Workspace(tmp_path_factory.mktemp("rivals"))
    write_split_folder(files, planted_split)
    run_pretrain(files)
    run_augment(files)
    run_condense(files, SYNTHETIC)
    files.raw.mkdir(parents=True)
    (files.split / "split.json").write_text('{"valid_drawn": true}')
    (files.raw / "source.json").write_text('{"dataset": "synthetic"}')
    return files


def test_a_set_beside_itself_loses_nothing(files):
    measured = compare(GateParams(), files, files.condensed, 0)
    assert measured["all"].champion == measured["all"].challenger > 0
    assert measured["new"].n_users == 0
    assert all(outcome.passed for outcome in judge_rivals(GateParams(), measured))


def params_of(root, **split):
    """The project's settings with another split, and the same as the run of a set holds them."""
    params = read_params(root, {f"split.{name}": value for name, value in split.items()})
    sections = {"split": params.split, "prepare": params.prepare}
    return params, {f"{section}.{name}": str(value) for section, own in sections.items() for name, value in own}


@pytest.fixture(scope="module")
def then(tmp_path_factory, planted):
    """A set of another draw from the same interactions."""
    files = Workspace(tmp_path_factory.mktemp("then"))
    write_split_folder(files, random_split(planted, 0.1, 0.1, seed=1))
    run_pretrain(files)
    run_augment(files)
    run_condense(files, SYNTHETIC)
    return files


def test_a_champion_of_another_drawing_of_valid_is_not_compared_with(files, then, root):
    """It was made from what valid asks today."""
    params, settings = params_of(root)
    assert dealt_anew(params, settings, files, files.condensed) is None
    for strategy in ("random", "given"):  # Gowalla's own split has no valid part: it is drawn
        params, settings = params_of(root, strategy=strategy)
        refused = dealt_anew(params, settings, files, then.condensed)
        assert refused is not None
        assert (refused.rule, refused.passed) == ("against_champion", False)
        assert "made from another drawing of valid" in refused.reason
        assert "set split.strategy: temporal" in refused.reason


def test_a_champion_of_the_same_split_by_time_is_compared_with_and_of_another_not(files, then, root, monkeypatch):
    monkeypatch.setattr(Workspace, "split", property(lambda self: self.root / "by-time"))
    shutil.copytree(files.root / "data/split", files.split)
    (files.split / "split.json").write_text('{"valid_drawn": false}')
    params, settings = params_of(root, strategy="temporal")
    assert dealt_anew(params, settings, files, then.condensed) is None
    _, drawn = params_of(root)
    _, longer = params_of(root, strategy="temporal", valid=0.2)
    other_clock = {**settings, "dataset.config.timestamp": "seen_at"}
    expected = ((drawn, "split.strategy random"), (longer, "split.valid 0.2"), (other_clock, "timestamp seen_at"))
    for was, words in expected:
        refused = dealt_anew(params, was, files, then.condensed)
        assert refused is not None
        assert f"{words}, today's split with" in refused.reason
        assert "set that back, or registration.name" in refused.reason
    params, settings = params_of(root, strategy="given")
    assert dealt_anew(params, settings, files, then.condensed) is None
    was_drawn = dealt_anew(params, settings | {"split.valid_drawn": "True"}, files, then.condensed)
    assert was_drawn is not None
    assert "another drawing of valid" in was_drawn.reason


def test_a_default_that_is_written_out_or_was_no_setting_yet_changes_nothing(files, then, root, monkeypatch):
    monkeypatch.setattr(Workspace, "split", property(lambda self: self.root / "by-time"))
    if not files.split.exists():
        shutil.copytree(files.root / "data/split", files.split)
    (files.split / "split.json").write_text('{"valid_drawn": false}')

    def today(**config):
        dataset = {"name": "file", "config": {"path": "r.csv", **config}}
        return read_params(root, {"split.strategy": "temporal", "dataset": dataset})

    _, settings = params_of(root, strategy="temporal")
    del settings["prepare.k_core"]
    silent, spelt = today(), today(timestamp=None, timestamp_unit="s")
    written = settings | {"dataset.config.timestamp": "None", "dataset.config.timestamp_unit": "s"}
    for params, was in ((silent, settings), (spelt, settings), (silent, written), (spelt, written)):
        assert dealt_anew(params, was, files, then.condensed) is None
    refused = dealt_anew(today(timestamp_unit="ms"), settings, files, then.condensed)
    assert refused is not None
    assert "the champion was made with dataset.config.timestamp_unit s, today's split with ms" in refused.reason


def test_each_group_can_refuse_and_says_its_numbers():
    same = GroupQuality(0.2, 0.2, 100)
    worse = GroupQuality(0.2, 0.1, 100)
    outcomes = judge_rivals(GateParams(), {"all": same, "tail": worse, "new": worse})
    assert [(o.rule, o.passed) for o in outcomes] == [
        ("against_champion", True),
        ("tail_users", False),
        ("new_users", False),
    ]
    assert "NDCG@10 on valid 0.1000 against 0.2000, at most 3.0% may be lost" in outcomes[1].reason
    few = judge_rivals(GateParams(), {"all": same, "tail": same, "new": GroupQuality(0.2, 0.1, 3)})[2]
    assert few.passed
    assert "fewer than 20 decide nothing" in few.reason


def test_the_tail_is_the_users_with_the_fewest_and_their_equals():
    assert tail(np.array([5, 1, 9, 2, 2, 8, 7, 6, 4, 3]), 0.2).nonzero()[0].tolist() == [1, 3, 4]


def test_ids_are_translated_by_the_sources_own():
    then = pd.DataFrame({"item": [0, 1, 2], "item_id": [7, 8, 9]})
    now = pd.DataFrame({"item": [0, 1, 2], "item_id": [5, 7, 9]})
    assert translated(then, now, "item").tolist() == [1, -1, 2]


def test_a_warm_search_gives_the_same_set_again_and_names_what_it_lacks(files, tmp_path):
    sha256 = read_card(files.condensed).sha256
    items = pd.read_parquet(files.split / "items.parquet")
    start = SYNTHETIC.model_copy(update={"start": sha256})
    with pytest.raises(DataError, match=r"put the condensed set of that SHA-256 there .*python -m flows\.consume"):
        warm_condenser(start, items, tmp_path)
    (tmp_path / "data/champions").mkdir(parents=True)
    (tmp_path / "data/champions" / sha256).symlink_to(files.condensed)
    made = [
        warm_condenser(start, items, tmp_path).condense(
            read_pool(files.pool), read_part(files.split, "valid"), Budget(60), OPTIONS
        )
        for _ in range(2)
    ]
    assert np.array_equal(made[0].interactions.items, made[1].interactions.items)
    assert np.array_equal(made[0].keep_prob, made[1].keep_prob)
    assert made[0].config["steps"] == 6
    assert made[0].interactions.n_users <= read_condensed(files.condensed).interactions.n_users
    (tmp_path / "data/champions" / ("a" * 64)).symlink_to(files.condensed)
    with pytest.raises(DataError, match=f"holds the set {sha256[:12]}…, and not the one that names it"):
        warm_condenser(start.model_copy(update={"start": "a" * 64}), items, tmp_path)
    with pytest.raises(ConfigError, match="dconrec always starts anew"):
        warm_condenser(start.model_copy(update={"name": "dconrec"}), items, tmp_path)
    auto = start.model_copy(update={"name": "auto", "config": {"steps": 30}})
    again = warm_condenser(auto, items, tmp_path).condense(
        read_pool(files.pool), read_part(files.split, "valid"), Budget(60), OPTIONS
    )
    assert (again.condenser, again.notes["chosen"]) == ("auto", "synthetic-users")
    CONDENSERS["auto"].configure("condense.config", again.config)
    default = warm_condenser(auto.model_copy(update={"config": {}}), items, tmp_path)
    assert isinstance(default, WarmAuto)
    assert default.notes["chosen_settings"]["steps"] == 30  # those that the earlier set was made with
    assert default.search.config.steps == 6
