"""A preset is a whole ``params.yaml``, and brings its dataset's files to a split."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dconrec_core.data import ciao, gowalla, movielens
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
