"""The paper's experiment: its small version from nothing to a page, and the page's tables by hand."""

import json
from dataclasses import replace

import pytest

from benchmarks import figures, paper, paper_page, quality, results
from dconrec_core.condensation import CONDENSERS
from dconrec_core.models import MODELS
from tests.test_docs_tables import row


@pytest.mark.slow
def test_the_small_version_measures_everything_once_and_writes_its_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paper, "QUICK_FOLDER", tmp_path)
    paper.main(["--quick", "--only", "quality", "--ratio", "0.25", "--seed", "0"])
    assert len(json.loads((tmp_path / "quality.json").read_text())["rows"]) == 4
    paper.main(["--quick"])
    names = ("quality", "cross_architecture", "folded_in")
    content = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in names}
    assert {content[name]["command"] for name in content} == {"make paper-table QUICK=1"}
    quality_rows, cross_rows, folded_rows = (content[name]["rows"] for name in content)
    found = {(row["ratio"], row["condenser"], row["downstream_model"], row["seed"]) for row in quality_rows}
    condensers = ("dconrec", "random-pool", "teacher-top", "random")
    assert found == {(r, name, "bprmf", seed) for r in (0.1, 0.25) for name in condensers for seed in (0, 1)}
    assert all(row["n_interactions"] <= row["budget"] and not row["inductive"] for row in quality_rows)
    two = ("bprmf", "lightgcn")
    assert {(row["source_model"], row["downstream_model"]) for row in cross_rows} == {(a, b) for a in two for b in two}
    assert {(row["condenser"], row["inductive"]) for row in folded_rows} == {("dconrec", True), ("random", True)}
    page = (tmp_path / "results.md").read_text()
    assert "| synthetic | BPRMF | 2 | " in page
    assert "No figures yet" not in page
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"quality.svg", "cross_architecture.svg"}

    capsys.readouterr()
    monkeypatch.setattr(paper.Comparison, "measure", lambda *_: pytest.fail("measured again"))
    paper.main(["--quick"])
    assert "16 of 16 rows in quality.json" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["quality", "cross", "folded"])
def test_a_longer_search_takes_the_place_of_the_shorter(part, tmp_path):
    rows, cells = paper.Experiment.quick(tmp_path).files()[part]
    for cell in cells:
        for trials in (3, 5):
            rows.row(replace(cell, trials=trials).case, lambda: {"quality": 1.0})
    found = results.read_rows(rows.path)
    assert [row["trials"] for row in found] == [5] * len(cells)


def test_a_cell_whose_budget_cannot_be_kept_is_named_and_left_out(tmp_path, capsys):
    cell = paper.Experiment.quick(tmp_path).quality[0]

    class Refuses:
        def measure(self, cell):
            raise paper.BudgetError("the tail alone is over the budget")

    assert list(paper.measure([cell], results.Results(tmp_path / "x.json", "test"), Refuses())) == []
    assert "left out, the tail alone is over the budget" in capsys.readouterr().out


def test_the_grid_is_the_papers_with_every_baseline():
    experiment = paper.Experiment.full()
    everything = {(c.dataset, c.ratio, c.condenser, c.model, c.seed) for c in experiment.quality}
    assert len(everything) == len(experiment.quality)  # one row each in quality.json
    cross = {(c.dataset, c.source, c.model, c.seed) for c in experiment.cross}
    for dataset in ("ml-100k", "ml-1m", "gowalla", "ciao"):
        for seed in (0, 1, 2):
            for model in paper.MODELS:
                assert (dataset, 0.25, "dconrec", model, seed) in everything
                assert {(dataset, source, model, seed) for source in paper.MODELS} <= cross
        for rival in ("dconrec", "random-pool", "teacher-top"):
            assert {(dataset, ratio, rival, "bprmf", seed) for ratio in (0.05, 0.25) for seed in range(5)} <= everything
    transductive = set(CONDENSERS) - {"auto", "synthetic-users", "synthetic-users-policy", "random-users"}
    assert transductive <= {c.condenser for c in experiment.quality}
    assert {c.model for c in experiment.quality} <= set(MODELS)
    whole_users = {(c.dataset, c.ratio, c.condenser, c.model, c.seed) for c in quality.cells(quality.PLANS)}
    assert not whole_users & everything


def pair(dataset, condenser, seed, ndcg, **changes):
    more = {"dataset": dataset, "source_model": "bprmf", "teacher_seconds": 1.0, "condense_seconds": 3.0}
    return row(condenser, "bprmf", seed, ndcg) | more | changes


ROWS = [
    *(pair("ml-1m", "dconrec", seed, ndcg) for seed, ndcg in enumerate((0.24, 0.25, 0.26))),
    *(pair("ml-1m", "teacher-top", seed, ndcg) for seed, ndcg in enumerate((0.22, 0.24, 0.23))),
    pair("ml-1m", "synthetic-users", 0, 0.3, inductive=True),
]


def test_paper_table_hand_worked():
    code = [{"dataset": "ml-1m", "downstream_model": "bprmf", "trained_on": what, "ndcg@10": value, "share": 0.47}
            for what, value in (("full data", 0.25), ("learned mask", 0.2))]  # fmt: skip
    line = paper_page.same_model(ROWS, code).splitlines()[2]
    assert line == (
        "| ml-1m | BPRMF | 3 | 0.2500 ± 0.0000 | 0.2500 ± 0.0100 | 0.3000 ± 0.0000 | 100.0 ± 4.0 % | – | "
        "80 % with 47 % of the data |"
    )
    theirs = [one | {"dataset": "ciao"} for one in ROWS]
    assert "| 100.0 ± 4.0 % | over 90 % | – |" in paper_page.same_model(theirs)


def test_significance_is_paired_over_seeds():
    # Differences .02, .01, .03: mean .02, standard error .01 / √3, so t = 3.4641 and p = 0.0742 with two degrees.
    line = paper_page.significance(ROWS).splitlines()[2]
    assert line == "| ml-1m | 25 % | BPRMF | `teacher-top` | 3 | +0.0200 | 0.074 | no |"
    assert paper_page.compared([(0.2, 0.1), (0.31, 0.2)])[1] < 0.05
    assert paper_page.compared([(0.2, 0.2), (0.3, 0.3)]) == (0.0, 1.0)


def test_of_the_baselines_the_nearest_is_compared():
    """A table of a dozen condensers at every budget says less than who comes nearest; rivals by name stay."""
    weak, near = ([one | {"condenser": name, "ndcg@10": one["ndcg@10"] - less} for one in ROWS
                   if one["condenser"] == "dconrec"] for name, less in (("loss", 0.1), ("herding", 0.05)))  # fmt: skip
    lines = paper_page.significance([*ROWS, *weak, *near]).splitlines()[2:-2]
    assert [line.split(" | ")[3] for line in lines] == ["`teacher-top`", "`herding`, best of 2 baselines"]
    assert "| +0.0500 |" in lines[1]


def test_times_and_cross_architecture_hand_worked():
    assert paper_page.times(ROWS).splitlines()[2] == "| ml-1m | BPRMF | 6 | 2 | 1 | 3 |"
    mine = [one for one in ROWS if one["condenser"] == "dconrec"]
    assert paper_page.cross_architecture(mine).splitlines()[2] == "| ml-1m | BPRMF | 100.0 ± 4.0 |"


def test_sets_folded_in_stand_beside_the_same_by_id():
    by_id = [one | {"recall_quality": 1.0} for one in ROWS]
    folded = [by_id[seed] | {"inductive": True, "quality": 1.04, "recall_quality": 1.1} for seed in (0, 2)]
    assert paper_page.folded_in(folded, by_id).splitlines()[2] == (
        "| ml-1m | 25 % | `dconrec` | BPRMF | 2 | 100.0 ± 5.7 | 104.0 ± 0.0 | 100.0 ± 0.0 | 110.0 ± 0.0 |"
    )


def test_whole_users_are_in_no_table_of_the_paper():
    assert "synthetic-users" not in "".join(
        make(ROWS) for make in (paper_page.same_model, paper_page.condensers, paper_page.significance, paper_page.times)
    )


def test_figures_are_the_same_bytes_for_the_same_rows(tmp_path):
    for name in ("quality", "cross_architecture", "ablation"):
        rows = [{**one, "variant": one["condenser"]} for one in ROWS]
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": rows}))
    written = figures.write_all(tmp_path, tmp_path / "figures")
    first = {path.name: path.read_bytes() for path in written}
    assert set(first) == {"quality.svg", "cross_architecture.svg", "ablation.svg"}
    assert {path.name: path.read_bytes() for path in figures.write_all(tmp_path, tmp_path / "figures")} == first
    assert b"ml-1m" in first["quality.svg"]
