"""What it costs to conduct the pipeline, on a project of seconds; the arithmetic by hand."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import overhead, results, tables
from benchmarks.processes import WorkerError
from tests.flows.project import TINY


def seconds(wall: float, cpu: float) -> overhead.Seconds:
    return {"seconds": wall, "cpu_seconds": cpu}


def test_the_overhead_is_the_median_of_the_differences_in_turn():
    taken = {
        "bare": [seconds(10, 5), seconds(20, 5), seconds(30, 5)],
        "flow": [seconds(12, 6), seconds(23, 8), seconds(31, 7)],
        "dvc": [seconds(19, 9), seconds(29, 9), seconds(39, 9)],
        "flow_cached": [seconds(3, 2), seconds(1, 1), seconds(2, 3)],
    }
    row = overhead.figures(taken)
    assert (row["bare_seconds"], row["flow_seconds"], row["flow_cached_seconds"]) == (20, 23, 2)
    assert (row["flow_overhead_seconds"], row["flow_overhead_cpu_seconds"]) == (2, 2)
    assert (row["dvc_overhead_seconds"], row["dvc_overhead_cpu_seconds"]) == (9, 4)


def test_the_table_hand_worked(monkeypatch: pytest.MonkeyPatch):
    names = [f"{name}_{kind}" for name in ("bare", "flow", "dvc") for kind in ("seconds", "cpu_seconds")]
    more = [f"{side}_{what}" for side in ("flow", "dvc") for what in ("overhead", "cached")]
    short = dict.fromkeys([*names, *(f"{name}_{kind}" for name in more for kind in ("seconds", "cpu_seconds"))], 2.0)
    whole = {"bare_seconds": 40.0, "bare_cpu_seconds": 30.0, "flow_share_of_seconds": 0.05, "dvc_share_of_seconds": 0.1}
    rows = [{"dataset": "ml-1m", "job": "short", **short}, {"dataset": "ml-1m", "job": "whole", **whole}]
    monkeypatch.setattr(tables, "_rows", lambda _: rows)
    lines = tables.overhead().splitlines()
    assert lines[2] == "| ml-1m | the job, cut short | 2.0 (2.0) | 2.0 (2.0) | 2.0 (2.0) |"
    assert lines[5] == "| ml-1m | the whole job, conducting it beside it | 40.0 (30.0) | 5.0 % | 10.0 % |"
    monkeypatch.setattr(tables, "_rows", lambda _: [])
    assert tables.overhead().startswith("*No figures yet: `make bench-overhead` writes")


def test_a_side_that_fails_is_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(overhead.SIDES, "flow", [sys.executable, "-c", "raise SystemExit('no disk')"])
    (tmp_path / "project").mkdir()
    with pytest.raises(WorkerError, match=r"flow in .*/project ended with status 1:\nno disk"):
        overhead.timed("flow", tmp_path / "project")


@pytest.mark.slow
def test_the_three_sides_do_the_same_and_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(overhead, "JOBS", {"ml-100k": TINY})
    # Three stages and not nine: that DVC does all of them is for tests/flows/test_pipeline.py, each is a process.
    monkeypatch.setitem(overhead.SIDES, "dvc", [*overhead.SIDES["dvc"], "split"])
    monkeypatch.setattr(overhead, "whole", lambda place, short: {"bare_seconds": 9.0, **SHARES})
    overhead.main(["--repetitions", "1", "--data", str(tmp_path)])
    short, _ = json.loads((tmp_path / "overhead.json").read_text())["rows"]
    assert short["flow_overhead_seconds"] == pytest.approx(short["flow_seconds"] - short["bare_seconds"], abs=0.02)
    assert 0 < short["flow_cached_cpu_seconds"] < short["flow_cpu_seconds"]
    assert 0 < short["dvc_cached_cpu_seconds"] < short["dvc_cpu_seconds"]
    assert "whole job: bare 9.0 s" in capsys.readouterr().out
    monkeypatch.setattr(overhead, "in_turn", lambda *_: pytest.fail("measured again"))
    overhead.main(["--repetitions", "1", "--data", str(tmp_path)])


SHARES = {"flow_share_of_seconds": 0.1, "dvc_share_of_seconds": 0.2}
