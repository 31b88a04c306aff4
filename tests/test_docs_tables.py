"""README and docs quote figures only from results files."""

import re

import pytest

from benchmarks import markdown, render, results, tables
from dconrec_core.errors import ConfigError


@pytest.mark.parametrize("path", tables.documents(), ids=lambda path: path.name)
def test_tables_equal_the_results_files(path):
    text = path.read_text()
    assert render.render(text) == text, "run `make docs`"


def test_readme_has_the_quality_table_and_quotes_no_figure_outside_a_table():
    text = (results.ROOT / "README.md").read_text()
    assert "<!-- table:quality -->" in text
    assert not re.findall(r"\b0\.\d{3,}\b", render.BLOCK.sub("", text))


@pytest.mark.parametrize("names", [("quality", "folded_in"), ("cross_architecture",)])
def test_what_stands_side_by_side_is_compared_with_the_same_training_on_full_data(names):
    """Searches of other lengths find other bests, and shares of them are no column."""
    found = {}
    for row in (row for name in names for row in results.read_rows(results.FOLDER / f"{name}.json")):
        key = (
            row["dataset"],
            row.get("reference_model") or row["downstream_model"],
            row["downstream_model"],
            row["seed"],
        )
        found.setdefault(key, set()).add(row["full_ndcg@10"])
    assert {key: full for key, full in found.items() if max(full) > 1.005 * min(full)} == {}


def test_a_column_of_the_source_table_has_one_search():
    """Also where full data's best is the same for both: a set may be the one that needs the longer search."""
    found = {}
    for row in results.read_rows(results.FOLDER / "cross_architecture.json"):
        found.setdefault((row["dataset"], row["downstream_model"]), set()).add(row["trials"])
    assert {column: trials for column, trials in found.items() if len(trials) > 1} == {}


def test_render_replaces_what_stands_between_the_markers():
    text = "before\n<!-- table:one -->\nold\n<!-- /table:one -->\nbetween\n<!-- table:one -->\n<!-- /table:one -->\n"
    fresh = (
        "before\n<!-- table:one -->\nnew\n<!-- /table:one -->\nbetween\n<!-- table:one -->\nnew\n<!-- /table:one -->\n"
    )
    assert render.render(text, {"one": lambda: "new"}) == fresh
    assert render.render(fresh, {"one": lambda: "new"}) == fresh


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table:qualty -->\n<!-- /table:qualty -->", r"table:qualty is not a table; did you mean 'quality'\?"),
        ("<!-- table:quality -->\nno end", r"1 tables are opened and 0 closed; end each with <!-- /table:NAME -->"),
    ],
)
def test_render_names_a_wrong_marker(text, message):
    with pytest.raises(ConfigError, match=message):
        render.render(text)


def row(condenser: str, model: str, seed: int, ndcg: float) -> results.Row:
    return {
        "dataset": "ml-100k",
        "ratio": 0.25,
        "budget": 1000,
        "n_interactions": 1000,
        "condenser": condenser,
        "downstream_model": model,
        "seed": seed,
        "ndcg@10": ndcg,
        "recall@20": 0.3,
        "full_ndcg@10": 0.25,
        "full_recall@20": 0.4,
        "quality": ndcg / 0.25,
        "train_seconds": 2.0,
        "full_train_seconds": 6.0,
    }


def test_quality_table_hand_worked(monkeypatch):
    rows = [row("random", "bprmf", 0, 0.15), row("dconrec", "bprmf", 0, 0.24), row("dconrec", "bprmf", 1, 0.23)]
    monkeypatch.setattr(tables, "_rows", lambda name: [*rows, row("dconrec", "ngcf", 0, 0.2)])  # which is not shown
    lines = tables.quality().splitlines()
    assert lines[0] == "| trained on | interactions | BPRMF NDCG@10 | BPRMF Recall@20 |"
    assert lines[2:5] == [
        "| full data | 100 % | 0.2500 ± 0.0000 | 0.4000 ± 0.0000 |",
        "| `dconrec` | 25 % | 0.2350 ± 0.0071 (94.0 %) | 0.3000 ± 0.0000 (75.0 %) |",
        "| `random` | 25 % | 0.1500 (60.0 %) | 0.3000 (75.0 %) |",
    ]
    assert "over 1 to 2 seeds" in lines[-1]


def test_readme_shows_some_condensers_and_the_docs_every_one(monkeypatch):
    rows = [row("random", "bprmf", 0, 0.15), row("dconrec", "bprmf", 0, 0.24), row("loss", "bprmf", 0, 0.1)]
    monkeypatch.setattr(tables, "_rows", lambda _: rows)
    found = {name: re.findall("`(.+)` \\|", tables.TABLES[name]()) for name in ("quality", "quality-every")}
    assert found == {"quality": ["dconrec", "random"], "quality-every": ["dconrec", "random", "loss"]}


def test_condensers_stand_by_what_all_were_measured_with(monkeypatch):
    rows = [row("loss", "bprmf", 0, 0.1), row("herding", "bprmf", 0, 0.12), row("loss", "lightgcn", 0, 0.2)]
    monkeypatch.setattr(tables, "_rows", lambda name: rows)
    assert [line.split("`")[1] for line in tables.quality().splitlines() if "`" in line][:2] == ["herding", "loss"]


SYNTHETIC = row("synthetic-users", "bprmf", 0, 0.25) | {
    "ratio": 0.005,
    "inductive": True,
    "recall_quality": 0.75,
    "variant": "default",
    "condense_seconds": 12.0,
    "held_out_share": 0.05,
    "n_train": 200_000,
    "speed_up": 40.0,
    "teacher_seconds": 2.0,
    "same_settings_quality": 0.9,
    "trials": 3,
    "speed_up_to_share": 12.0,
    "full_best_epoch": 30,
    "best_epoch": 90,
}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("headline", "| BPRMF, `synthetic-users` | 1,000 | 0.2500 (100.0 %) | 0.3000 (75.0 %) | 2 | 40 × | 1 |"),
        ("inductive", "| ml-100k | 0.5 % | `synthetic-users` | yes | 1 | 100.0 / 75.0 |"),
        ("ablation", "| default | 100.0 / 75.0 | 12 |"),
        ("held-out", "| BPRMF | 1 | 0.2500 | 0.2500 | 100.0 / 75.0 |"),
        ("training-time", "| BPRMF | 1 | 100.0 % | 30 | 90 | 6 | 2 | 40.0 × | 12.0 × (1 of 1) | – | – |"),
    ],
)
def test_tables_of_condensed_sets_hand_worked(name, line, monkeypatch):
    monkeypatch.setattr(tables, "_rows", lambda _: [SYNTHETIC])
    assert tables.TABLES[name]().splitlines()[2 if name != "headline" else 3] == line
    monkeypatch.setattr(tables, "_rows", lambda _: [])
    assert tables.TABLES[name]().startswith("*No figures yet: `make ")


@pytest.mark.parametrize(("value", "written"), [(0.01776, "0.0178"), (605.4, "605"), (1376.2, "1,380")])
def test_seconds_have_three_digits_and_no_power_of_ten(value, written):
    assert markdown.seconds(value) == written


def test_a_set_is_paid_for_after_as_many_trainings_as_save_what_it_took(monkeypatch):
    """2 s of teacher and 12 s of condensing, by trainings of 2 s in place of 6 s."""
    by_id = SYNTHETIC | {"inductive": False}
    monkeypatch.setattr(tables, "_rows", lambda _: [by_id])
    assert tables.training_time().splitlines()[2].endswith("| 12.0 × (1 of 1) | 14 | 3.5 |")


def test_reference_compares_the_same_dataset_and_ratio(monkeypatch):
    """Other rows of the same model and seed are of other trainings."""
    ours = [row("dconrec", "bprmf", 0, 0.2), row("synthetic-users", "bprmf", 0, 0.2) | {"ratio": 0.05}]
    ours[1]["full_ndcg@10"] = 0.9
    monkeypatch.setattr(tables, "_rows", lambda _: ours[::-1])
    assert "| BPRMF | 0 | 0.2500 |" in tables.reference()


def test_main_writes_then_finds_nothing_to_do(tmp_path, monkeypatch, capsys):
    path = tmp_path / "page.md"
    path.write_text("<!-- table:quality -->\nold\n<!-- /table:quality -->\n")
    monkeypatch.setattr(render, "documents", lambda: [path])
    monkeypatch.setattr(render, "ROOT", tmp_path)
    assert render.main(["--check"]) == 1
    assert "page.md; run `make docs`" in capsys.readouterr().err
    assert render.main([]) == 0
    assert render.main(["--check"]) == 0
    assert render.main([]) == 0
    assert "every table is up to date" in capsys.readouterr().out
