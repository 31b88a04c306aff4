"""The cases of ``speed.json``, on the tiny dataset and with small stand-ins for the peers."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks import courses, processes, speed, speed_cases
from benchmarks.courses import Course, finished
from benchmarks.datasets import load_split, read_npz, write_npz
from benchmarks.processes import WorkerError
from benchmarks.speed_cases import CaseError, cases, compared

PEER_SECONDS = 8.0


def peer(module: str, what: str, request: dict, python=None, threads: int = 1):
    """What the peers' environment would answer: RecBole's evaluator gives our own metrics, everything takes 8 s."""
    if not module.startswith("benchmarks.peers."):
        return real_ask(module, what, request, threads=threads)
    if what == "evaluate":
        ours = real_ask("benchmarks.ours", "ranking", {**request_of(request), "repeats": 1})
        return {"seconds": PEER_SECONDS, "block_size": request["block_sizes"][0], "metrics": ours["metrics"]}
    count = request["epochs"] + (module.endswith("implicit_run"))
    seconds = [PEER_SECONDS] * (count - module.endswith("implicit_run"))
    return {"train_seconds": seconds, "valid_seconds": seconds, "valid_ndcg@10": 0.1}


real_ask = processes.ask


def request_of(request: dict) -> dict:
    return {"split": request["split"], "factors": request["factors"]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The quick cases with a course that any training passes at once; returns the rows by case."""
    monkeypatch.setattr(processes, "ask", peer)
    monkeypatch.setattr(speed_cases, "peers_python", lambda: Path("unused"))
    monkeypatch.chdir(processes.ROOT)
    for model in courses.PEERS:
        course = courses.courses(model, "tiny", 0)[0]
        content = {"epochs": [], "best_epoch": 3, "valid_ndcg@10": 0.01, "ndcg@10": 0.02, "recall@20": 0.03}
        (tmp_path / f"{course.name}.json").write_text(json.dumps(content))

    def measured(only: str) -> dict[str, dict]:
        path = tmp_path / "speed.json"
        status = speed.main(["--quick", "--only", only, "--courses", str(tmp_path), "--results", str(path)])
        assert status == 0
        return {row["case"]: row for row in json.loads(path.read_text())["rows"]}

    return measured


def test_time_to_quality_counts_the_peers_epochs_and_stands_beside_the_quality(run):
    rows = run("bprmf-ml-1m-time-to-quality")
    row = rows["bprmf-ml-1m-time-to-quality"]
    assert row["peer_seconds"] == 3 * 2 * PEER_SECONDS  # three epochs, each trained and validated
    assert row["ratio"] == pytest.approx(row["peer_seconds"] / row["ours_seconds"], rel=1e-3)
    assert row["ours_valid_ndcg@10"] >= row["target_valid_ndcg@10"] == 0.01
    assert row["peer_ndcg@10"] == 0.02
    assert row["ours_ndcg@10"] == rows["bprmf-tiny-quality"]["ndcg@10"]
    assert run("bprmf-ml-1m-time-to-quality") == rows  # kept, not measured again


@pytest.mark.slow
@pytest.mark.parametrize(
    "only",
    ["*throughput*", "ease-ml-1m", "ranking-ml-1m*", "dconrec-*", "xsimgcl-ml-1m-*", "reader-*", "*-inductive-*"],
)
def test_every_kind_of_case_gives_a_flat_row_with_a_ratio(run, only: str):
    rows = [row for row in run(only).values() if not row["case"].endswith("-quality")]
    assert rows
    for row in rows:
        assert row["ratio"] == pytest.approx(row["peer_seconds"] / row["ours_seconds"], rel=0.01)
        assert row["peer"]
        assert not [value for value in row.values() if isinstance(value, dict | list)]
        assert row.get("largest_difference", 0) < 1e-4
        assert row.get("largest_metric_difference", 0) < 1e-6


def test_the_cases_are_those_that_the_documentation_explains():
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)
    assert [case.name for case in cases(quick=True)] == names
    explained = ("-time-to-quality", "-throughput-", "xsimgcl-", "ease-", "ranking-", "dconrec-outer-epoch-",
                 "reader-step-", "-inductive-")  # fmt: skip
    text = (processes.ROOT / "docs/speed.md").read_text()
    assert all(any(kind in name and kind.strip("-") in text for kind in explained) for name in names)


def test_a_target_out_of_reach_is_said_and_writes_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(speed_cases.Bench, "ours", lambda *_, **__: {"seconds": None, "valid_ndcg@10": 0.1, "epoch": 9})
    monkeypatch.setattr(speed_cases.Bench, "peer", lambda *_, **__: {})
    monkeypatch.setattr(speed_cases, "_quality_beside_courses", lambda *_: {"settings": {}})
    content = {"best_epoch": 3, "valid_ndcg@10": 0.5, "ndcg@10": 0.5}
    (tmp_path / f"{courses.courses('bprmf', 'tiny', 0)[0].name}.json").write_text(json.dumps(content))
    only = ["--only", "bprmf-ml-1m-time-to-quality", "--courses", str(tmp_path), "--results", str(tmp_path / "s.json")]
    assert speed.main(["--quick", *only]) == 1
    assert "stopped at valid NDCG@10 0.1000 (epoch 9), below the peer's 0.5000" in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()


def test_without_a_course_the_command_that_makes_it_is_named(tmp_path: Path, capsys):
    only = ["--only", "ngcf-ml-1m-time-to-quality", "--courses", str(tmp_path), "--results", str(tmp_path / "s.json")]
    assert speed.main(["--quick", *only]) == 1
    assert "python -m benchmarks.courses --only 'ngcf-tiny-0-*'" in capsys.readouterr().err


def test_ratio_is_of_medians():
    row = compared([1.0, 3.0, 2.0], [10.0, 8.0, 30.0])
    assert (row["ratio"], row["ours_seconds"], row["peer_seconds"], row["peer_seconds_3"]) == (5.0, 2.0, 10.0, 30.0)
    with pytest.raises(CaseError, match="must be positive"):
        compared([0.0], [1.0])


def test_the_best_course_on_valid_comes_first_and_unfinished_ones_do_not_count(tmp_path: Path):
    first, second = courses.courses("lightgcn", "ml-1m", 0)
    assert first.name == "lightgcn-ml-1m-0-lr.005"
    (tmp_path / f"{first.name}.json").write_text(json.dumps({"ndcg@10": 0.2, "valid_ndcg@10": 0.1}))
    (tmp_path / f"{second.name}.json").write_text(json.dumps({"epochs": []}))
    assert [course for course, _ in finished("lightgcn", "ml-1m", 0, tmp_path)] == [first]
    (tmp_path / f"{second.name}.json").write_text(json.dumps({"ndcg@10": 0.1, "valid_ndcg@10": 0.3}))
    assert [course for course, _ in finished("lightgcn", "ml-1m", 0, tmp_path)] == [second, first]


def test_small_data_gets_the_peers_own_batch():
    assert Course("ngcf", "ml-100k", 0, 0.002).settings["train_batch_size"] == 2048
    assert Course("ngcf", "ml-1m", 0, 0.002).settings["train_batch_size"] == 8192


def test_the_published_courses_are_whole():
    for path in courses.COURSES.glob("*.json"):
        content = json.loads(path.read_text())
        looks = {row["epoch"]: row["valid_ndcg@10"] for row in content["epochs"]}
        if "ndcg@10" in content:  # else it is being made
            assert looks[content["best_epoch"]] == content["valid_ndcg@10"] == max(looks.values())


def test_without_the_peers_environment_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PEERS_PYTHON", "/nowhere/python")
    with pytest.raises(courses.DataError, match="`make peers` makes it"):
        courses.peers_python()


def test_a_worker_that_fails_says_what_it_printed():
    with pytest.raises(WorkerError, match=r"benchmarks\.ours nothing ended with status 1:\n(.*\n)*KeyError: 'nothing'"):
        real_ask("benchmarks.ours", "nothing", {})


def test_splits_survive_the_file(tmp_path: Path):
    split = load_split("tiny", tmp_path, 0)
    write_npz(tmp_path / "split.npz", split)
    again = read_npz(tmp_path / "split.npz")
    for part in ("train", "valid", "test"):
        assert getattr(again, part).fingerprint() == getattr(split, part).fingerprint()
    assert again.train.n_items == split.train.n_items
    assert np.load(tmp_path / "split.npz")["train"].dtype == np.int32


def test_settings_of_a_dataset_are_those_of_its_preset():
    for (model, dataset), settings in speed_cases.SETTINGS.items():
        preset = yaml.safe_load((processes.ROOT / "presets" / f"{dataset}.yaml").read_text())
        assert preset["evaluate"]["models"].get(model, settings) == settings
