"""The planted structure is there, in the size asked for, the same every time."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dconrec_core.data import DATASETS
from dconrec_core.data.synthetic import SyntheticConfig, SyntheticDataset, plant
from dconrec_core.errors import ConfigError
from dconrec_core.options import RunOptions


def test_same_seed_same_table_and_another_seed_another():
    config = SyntheticConfig(n_users=50, n_items=40, n_interactions=400)
    first, again = (SyntheticDataset(config).load(None, RunOptions()) for _ in range(2))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    other = SyntheticDataset(config.model_copy(update={"seed": 1})).load(None, RunOptions())
    assert first.sha256 == again.sha256 != other.sha256


def test_the_pipelines_seed_does_not_change_the_data():
    config = SyntheticConfig(n_users=20, n_items=20, n_interactions=100)
    one, two = (SyntheticDataset(config).load(None, RunOptions(seed=seed)) for seed in (1, 2))
    assert one.sha256 == two.sha256


@given(st.data())
def test_exact_size_distinct_pairs_and_no_user_without_one(data: st.DataObject):
    n_users, n_items = data.draw(st.integers(2, 30)), data.draw(st.integers(2, 30))
    config = SyntheticConfig(
        n_users=n_users,
        n_items=n_items,
        n_interactions=data.draw(st.integers(n_users, n_users * n_items // 2)),
        n_clusters=data.draw(st.integers(1, min(n_users, n_items))),
        purity=data.draw(st.sampled_from([0, 0.5, 1])),
        popularity_exponent=data.draw(st.sampled_from([0, 1, 2])),
        seed=data.draw(st.integers(0, 5)),
    )
    planted = plant(config)
    keys = planted.users * n_items + planted.items
    assert len(np.unique(keys)) == len(keys) == config.n_interactions
    assert set(planted.users) == set(range(n_users))
    assert planted.items.min() >= 0
    assert planted.items.max() < n_items


def test_users_draw_from_their_cluster_as_often_as_asked():
    config = SyntheticConfig(
        n_users=4_000, n_items=4_000, n_interactions=40_000, n_clusters=10, purity=0.7, popularity_exponent=0
    )
    planted = plant(config)
    # A draw from anywhere lands at home once in ten; a little less in all, since repeated pairs are drawn again.
    assert planted.at_home.mean() == pytest.approx(0.7 + 0.3 / 10, abs=0.01)


def test_popularity_is_a_power_law():
    config = SyntheticConfig(
        n_users=20_000, n_items=2_000, n_interactions=200_000, n_clusters=4, purity=0.5, popularity_exponent=0.7
    )
    degree = np.sort(np.bincount(plant(config).items, minlength=2_000))[::-1]
    ranks = np.arange(20, 1_000)
    slope = np.polyfit(np.log(ranks + 1), np.log(degree[ranks]), 1)[0]
    assert slope == pytest.approx(-0.7, abs=0.1)


def test_ratings_are_higher_at_home_and_titles_tell_the_cluster():
    config = SyntheticConfig(n_users=100, n_items=100, n_interactions=2_000, n_clusters=4)
    table, planted = SyntheticDataset(config).load(None, RunOptions()), plant(config)
    ratings = table.frame["rating"].to_numpy()
    assert ratings[planted.at_home].mean() > ratings[~planted.at_home].mean() + 0.8
    assert table.items is not None
    assert table.items["title"][7] == f"Item 7 of cluster {planted.item_cluster[7]}"
    assert table.frame["rating"].between(*table.rating_range).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_users": 10, "n_items": 10, "n_interactions": 51}, "between n_users 10 and half of all 100 pairs"),
        ({"n_users": 10, "n_items": 10, "n_interactions": 20, "n_clusters": 11}, "n_clusters 11 is more"),
        ({"n_users": 1}, "dataset.config.n_users is 1"),
    ],
)
def test_impossible_sizes(settings: dict[str, int], message: str):
    with pytest.raises(ConfigError, match=message):
        DATASETS["synthetic"].configure("dataset.config", settings)
