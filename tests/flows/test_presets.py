"""A preset is a whole ``params.yaml``, and brings its dataset's files to a split."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.condensation import CONDENSERS
from dconrec_core.data import ciao, dianping, gowalla, movielens, movielens_20m
from dconrec_core.data.io import read_split
from dconrec_core.data.synthetic import SyntheticConfig, plant
from dconrec_core.options import RunOptions
from flows.params import check_names, read_params
from flows.stages import BY_NAME
from tasks.params import PipelineParams
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[2]
PRESETS = sorted(path.stem for path in (ROOT / "presets").iterdir())


def chosen(name: str, folder: Path) -> PipelineParams:
    shutil.copyfile(ROOT / f"presets/{name}.yaml", folder / "params.yaml")
    return read_params(folder)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files under the names of the published ones, which the loaders are told to be right."""
    for module in (ciao, gowalla, movielens):
        monkeypatch.setattr(module, "require_content", lambda *_: None)
    for module in (dianping, movielens_20m):
        monkeypatch.setattr(module, "require_rows", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/input"
    folder.mkdir(parents=True)
    planted = plant(SyntheticConfig(n_users=40, n_items=60, n_interactions=600))
    pairs = pd.DataFrame({"user_id": planted.users, "item_id": planted.items})
    pairs.assign(rating=np.float32(4)).to_parquet(folder / "ml-1m.parquet")
    pd.concat([pairs, pairs[:5]]).to_parquet(folder / "ciao.parquet")
    is_test = pairs.groupby("user_id").cumcount() % 5 == 0
    pairs[~is_test].to_parquet(folder / "gowalla-train.parquet")
    pairs[is_test].to_parquet(folder / "gowalla-test.parquet")
    rated = pairs.assign(rating=4.0)
    bad = pd.DataFrame({"user_id": [0, 1], "item_id": [60, 61], "rating": [2.5, 0.5]})  # below the threshold
    below = pd.concat([rated, bad])
    below.assign(rating=below["rating"] // 1, day="2009-05-12").to_csv(
        folder / "rating.txt", sep="|", header=False, index=False
    )
    (folder / "ml-20m").mkdir()
    names = {"user_id": "userId", "item_id": "movieId"}
    below.assign(timestamp=1_112_486_027).rename(columns=names).to_csv(folder / "ml-20m/ratings.csv", index=False)
    (folder / "ml-20m/movies.csv").write_text('movieId,title,genres\n0,"Film, The (1995)",Drama\n', encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_it_is_a_whole_and_valid_params_file_for_its_dataset(name: str, tmp_path: Path):
    params = chosen(name, tmp_path)
    assert params.dataset.name == name
    check_names(params)


def test_the_shipped_settings_are_a_preset():
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "presets/ml-100k.yaml").read_bytes()


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "ml-100k"])
def test_its_files_become_a_split(name: str, tmp_path: Path, files: Path):
    params, workspace = chosen(name, tmp_path), Workspace()
    for stage in ("ingest", "validate", "split"):
        BY_NAME[stage].run(params, workspace, RunOptions())
    split = read_split(workspace.split)
    assert len(split.train) + len(split.valid) + len(split.test) == 600
    checks = json.loads((workspace.validated / "checks.json").read_text())
    assert checks["n_quarantined"] == (5 if name == "ciao" else 0)
    if name == "gowalla":
        assert len(split.test) == len(pd.read_parquet(files / "gowalla-test.parquet"))


@pytest.mark.parametrize(("name", "pseudo_ratio", "tail_threshold"), [("ml-20m", 0.1, 0), ("dianping", 0.9, 10)])
def test_the_papers_pipeline_has_the_papers_settings(
    name: str, pseudo_ratio: float, tail_threshold: int, tmp_path: Path
):
    params = chosen(name, tmp_path)
    assert (params.prepare.threshold, params.prepare.k_core) == (3, 0)
    assert (params.split.strategy, params.split.valid, params.split.test) == ("random", 0.1, 0.1)
    assert (params.augment.pseudo_ratio, params.augment.min_pseudo) == (pseudo_ratio, 5)
    assert (params.condense.name, params.condense.ratio) == ("dconrec-paper", 0.25)
    config = CONDENSERS[params.condense.name].configure("condense.config", params.condense.config)
    assert (config.tail_threshold, config.learning_rate, config.decay) == (tail_threshold, 0.1, "steps")
    assert (config.n_samples, config.inner_epochs) == (4, 1)
