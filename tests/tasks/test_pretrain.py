"""The teacher: what is fitted is what is on disk, from train and valid alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dconrec_core.errors import ConfigError, DataError
from dconrec_core.evaluation import RankingTask
from dconrec_core.models import MODELS
from dconrec_core.models.bprmf import BPRMF as BPRMFModel
from dconrec_core.models.store import load_model, stored_model_name
from dconrec_core.options import EpochEvent
from dconrec_core.training import History
from dconrec_core.types import Split
from tasks.params import Component
from tasks.workspace import Workspace
from tests.tasks.small_stages import OPTIONS, TEACHER, contents, run_pretrain, write_split_folder

BPRMF = Component(name="bprmf", config={"embedding_size": 8, "epochs": 10})
EVERYONE = np.arange(60, dtype=np.int32)


@pytest.fixture
def files(tmp_path: Path, planted_split: Split) -> Workspace:
    files = Workspace(tmp_path)
    write_split_folder(files, planted_split, test=False)
    return files


@pytest.mark.parametrize("params", [TEACHER, BPRMF], ids=lambda params: params.name)
def test_teacher_on_disk_is_the_one_fitted_without_any_test_file(
    params: Component, files: Workspace, planted_split: Split
) -> None:
    run_pretrain(files, params)
    model = MODELS[params.name].build(MODELS[params.name].configure("", params.config))
    history = model.fit(planted_split.train, RankingTask.valid(planted_split.train, planted_split.valid), OPTIONS)
    assert stored_model_name(files.teacher) == params.name
    assert load_model(files.teacher).score(EVERYONE).tobytes() == model.score(EVERYONE).tobytes()
    written = pd.read_csv(files.teacher / "history.csv")
    assert written.to_dict("records") == history.rows
    assert written["valid_ndcg@10"].max() == history.best_valid


def test_repeat_gives_the_same_bytes_and_another_seed_another_teacher(files: Workspace) -> None:
    run_pretrain(files, BPRMF)
    first = contents(files.teacher)
    run_pretrain(files, BPRMF)
    assert contents(files.teacher) == first
    run_pretrain(files, BPRMF, replace(OPTIONS, seed=1))
    changed = {name for name, content in contents(files.teacher).items() if content != first[name]}
    assert changed == {"weights.safetensors", "history.csv"}


def test_time_is_told_in_a_file_of_its_own(files: Workspace) -> None:
    run_pretrain(files)
    timing = json.loads(files.timing("pretrain").read_text())
    assert timing.keys() == {"stage_seconds", "device", "threads", "peak_rss_mb"}
    assert timing["stage_seconds"] > 0
    assert timing["device"] == "cpu"
    assert not any("seconds" in content.decode("latin-1") for content in contents(files.teacher).values())


def test_time_before_an_interruption_counts(files: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = BPRMFModel.fit

    def goes_on(*arguments: Any, **settings: Any) -> History:
        history = fit(*arguments, **settings)
        history.seconds += 1000
        return history

    monkeypatch.setattr(BPRMFModel, "fit", goes_on)
    run_pretrain(files, BPRMF)
    assert 999 < json.loads(files.timing("pretrain").read_text())["stage_seconds"] < 1100


def test_listener_hears_who_is_being_trained(files: Workspace) -> None:
    heard: list[EpochEvent] = []
    run_pretrain(files, BPRMF, replace(OPTIONS, on_epoch=heard.append))
    assert {event.label for event in heard} == {"teacher bprmf"}
    assert [event.epoch for event in heard] == list(range(1, 11))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (Component(name="bprfm"), "teacher.name is 'bprfm'; did you mean 'bprmf'"),
        (Component(name="ease", config={"lambda": 1}), "teacher.config.lambda is not a setting"),
        (Component(name="bprmf", config={"epochs": 0}), "teacher.config.epochs is 0"),
    ],
)
def test_wrong_setting_is_refused_before_anything_is_written(params: Component, message: str, files: Workspace) -> None:
    with pytest.raises(ConfigError, match=message):
        run_pretrain(files, params)
    assert not files.teacher.exists()
    assert not files.timing("pretrain").exists()


def test_failed_training_leaves_the_previous_teacher(files: Workspace) -> None:
    run_pretrain(files)
    before = contents(files.root)
    (files.split / "valid.parquet").unlink()
    with pytest.raises(DataError, match=r"valid.parquet does not exist; run the stage that writes it"):
        run_pretrain(files, BPRMF)
    before.pop("data/split/valid.parquet")
    assert contents(files.root) == before
