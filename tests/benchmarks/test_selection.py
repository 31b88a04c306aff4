"""The selection benchmark on a dataset of seconds: its rows, full data trained once, and nothing measured twice."""

import json

import pytest

from benchmarks import results, selection, tables
from dconrec_core.errors import ConfigError

GRID = {"ease": {"regularization": [[1.0], [100.0]]}, "ridge": {"regularization": [[1.0], [10.0]]}}
NEEDED = {
    "dataset", "ratio", "condenser", "seed", "n_configurations", "kendall_tau", "kendall_tau_test", "regret",
    "regret_at_random", "seconds_condensed", "seconds_full", "time_ratio", "chosen", "best", "inductive",
    "n_interactions", "core", "commit",
}  # fmt: skip
TRIED = ["--condensers", "random-users", "random"]


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(selection, "DATASETS", ("tiny",))
    monkeypatch.setattr(selection, "RATIOS", (0.2, 0.5))
    monkeypatch.setattr(selection, "SEEDS", (0,))
    monkeypatch.setattr(selection, "CONDENSERS_TRIED", tuple(TRIED[1:]))
    return tmp_path / "selection.json"


def test_rows_hold_what_was_asked_for_and_are_measured_once(path, capsys, monkeypatch):
    trained, real = [], selection.train_once

    def count(configuration, train, split, options, inductive):
        trained.append((configuration.name, len(train), inductive))
        if len(trained) == 8:
            raise KeyboardInterrupt
        return real(configuration, train, split, options, inductive)

    monkeypatch.setattr(selection, "train_once", count)
    with pytest.raises(KeyboardInterrupt):
        selection.main(TRIED, grid=GRID)
    assert len(json.loads(path.read_text())["rows"]) == 7  # each on disk as soon as it is measured
    selection.main(TRIED, grid=GRID)
    assert len(trained) - 1 == 4 * 2 * 2 + 4  # full data once
    rows = json.loads(path.read_text())["rows"]
    found = [row for row in rows if row["kind"] == "selection"]
    assert [(row["condenser"], row["ratio"]) for row in found] == [
        ("random-users", 0.2), ("random-users", 0.5), ("random", 0.2), ("random", 0.5),
    ]  # fmt: skip
    singles = [row for row in rows if row["kind"] == "configuration"]
    assert len(singles) == 20
    for row in found:
        assert set(row) >= NEEDED
        assert row["inductive"] is (row["condenser"] == "random-users")
        mine = [one for one in singles if (one["condenser"], one["ratio"]) == (row["condenser"], row["ratio"])]
        full = [one for one in singles if one["condenser"] == ""]
        assert row["seconds_condensed"] == pytest.approx(sum(one["seconds"] for one in mine))
        assert row["seconds_full"] == pytest.approx(sum(one["seconds"] for one in full))
        assert row["chosen"] == max(mine, key=lambda one: one["valid"])["configuration"]
    for row in rows:
        assert not [value for value in row.values() if isinstance(value, dict | list)]
    assert capsys.readouterr().out.count("random-users") == 2

    trained.clear()
    selection.main(TRIED, grid=GRID)
    selection.main(["--condensers", "random"], grid=GRID)  # a part drops no row of another
    assert trained == []
    assert json.loads(path.read_text())["rows"] == rows
    table = tables.selection().splitlines()
    assert len([line for line in table if line.startswith("| tiny ")]) == 4


def test_a_condenser_is_looked_up_when_it_runs(path):
    with pytest.raises(ConfigError, match="--condensers is 'no-such'"):
        selection.main(["--condensers", "no-such"], grid=GRID)


def test_without_figures_the_table_says_how_to_get_them(path):
    assert "`make bench-select` writes" in tables.selection()


def test_table_hand_worked(path, monkeypatch):
    row = {
        **{"kind": "selection", "dataset": "ml-1m", "ratio": 0.005, "condenser": "random-users", "seed": 0},
        **{"inductive": True, "n_configurations": 30, "kendall_tau": 0.81234, "kendall_tau_test": None},
        **{"regret": -0.0042, "regret_at_random": 0.2, "time_ratio": 25.31, "chosen": "a", "best": "b"},
        **{"seconds_condensed": 10.0, "seconds_full": 253.1, "core": "now"},
    }
    other = {**row, "kind": "configuration", "core": "of another core"}
    monkeypatch.setattr(tables, "_rows", lambda name: [row, other])
    lines = tables.selection().splitlines()
    assert (
        lines[2]
        == "| ml-1m | `random-users` | 0.5 % | yes | 0 | 0.81 | – | – | – | −0.4 % | 20.0 % | 25.3 × | – | – | – | – |"
    )
    assert "30 configurations" in lines[-1]


def test_table_holds_shortlists_of_the_trainings_behind_a_row(monkeypatch):
    of = {"dataset": "ml-1m", "seed": 0, "core": "now"}
    row = {
        **of,
        **{"kind": "selection", "condenser": "random-users", "ratio": 0.005, "inductive": True},
        **{"n_configurations": 10, "kendall_tau": 1.0, "kendall_tau_test": 1.0},
        **{"regret": 0.5, "regret_at_random": 0.2, "time_ratio": 10.0},
    }
    trained = {"recall": 0.1, "best_epoch": 1, "failure": "", **of, "kind": "configuration"}
    # The condensed side ranks 0 first, full data 9: of the first three, 2 has 0.3 of what 9 reaches on test.
    rows = [row]
    for number in range(10):
        seen = {**trained, "configuration": f"c{number}"}
        rows += [
            {**seen, "condenser": "random-users", "ratio": 0.005, "valid": 1 - number / 10, "test": 0.0, "seconds": 1},
            {**seen, "condenser": "", "ratio": 1, "valid": number, "test": (number + 1) / 10, "seconds": 10},
        ]
    monkeypatch.setattr(tables, "_rows", lambda name: rows)
    # Every configuration is a model of its own here, and full data rank them the other way round.
    assert "| 1.00 | – | −1.00 | 1.00 |" in tables.selection().splitlines()[2]
    assert tables.selection().splitlines()[2].endswith("| 10.0 × | 70.0 % | 2.5 × | 50.0 % | 1.7 × |")


def test_table_has_a_dash_for_a_shortlist_of_more_than_there_are(monkeypatch):
    of = {"dataset": "ml-1m", "seed": 0, "core": "now"}
    row = {
        **of,
        **{"kind": "selection", "condenser": "random-users", "ratio": 0.005, "inductive": True},
        **{"n_configurations": 4, "kendall_tau": 1.0, "kendall_tau_test": 1.0},
        **{"regret": 0.5, "regret_at_random": 0.2, "time_ratio": 10.0},
    }
    trained = {"recall": 0.1, "best_epoch": 1, "failure": "", "valid": 0.1, "test": 0.1, "seconds": 1.0}
    rows = [row]
    for number in range(4):
        seen = {**trained, **of, "kind": "configuration", "configuration": f"c{number}"}
        rows += [{**seen, "condenser": "random-users", "ratio": 0.005}, {**seen, "condenser": "", "ratio": 1}]
    monkeypatch.setattr(tables, "_rows", lambda name: rows)
    assert tables.selection().splitlines()[2].endswith("| 10.0 × | 0.0 % | 0.6 × | – | – |")
