"""``flows/stages.py`` and ``dvc.yaml`` say the same, and it is true of the code."""

import inspect
import json
import sys
from types import ModuleType

import pytest
from ruamel.yaml import YAML

from dconrec_core.options import RunOptions
from flows.params import read_params
from flows.stages import STAGES
from tasks.workspace import Workspace
from tests.flows.code_closure import code_closure

NO_MATTER = {
    "tasks/__init__.py",
    "tasks/workspace.py",  # paths, which dvc.yaml names itself
    "dconrec_core/__init__.py",
    "dconrec_core/errors.py",
    "dconrec_core/options.py",
}
"""Code whose change cannot change an output."""
HELD_OUT = "data/split/test.parquet"


@pytest.fixture(scope="module")
def table(root):
    return YAML(typ="safe").load(root / "dvc.yaml")["stages"]


def paths(entries):
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def outs(stage):
    return paths(stage.get("outs", []) + stage.get("metrics", []))


def covers(dep, path):
    return path == dep or path.startswith(f"{dep}/")


def test_same_stages_in_the_same_order_with_the_same_params(table):
    assert list(table) == [stage.name for stage in STAGES]
    for stage in STAGES:
        assert table[stage.name]["cmd"] == f"python3 -m flows.stage {stage.name}"
        assert sorted(table[stage.name].get("params", [])) == sorted(stage.params), stage.name


def test_params_named_exist(root, table):
    settings = read_params(root).model_dump()
    for name in {name for stage in table.values() for name in stage.get("params", [])}:
        node = settings
        for part in name.split("."):
            assert part in node, name
            node = node[part]


def test_device_is_tracked_by_no_stage(table):
    assert not [name for name, stage in table.items() if "device" in stage.get("params", [])]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_code_a_stage_runs_is_among_its_deps(root, table, stage):
    deps = table[stage.name]["deps"]
    used = code_closure(root, f"tasks/{stage.name}.py") - NO_MATTER
    assert not {path for path in used if not any(covers(dep, path) for dep in deps)}
    code = [dep for dep in deps if dep.startswith(("tasks/", "dconrec_core"))]
    assert not [dep for dep in code if not (root / dep).exists()]


def test_everything_read_is_written_by_a_stage_before(table):
    written = ["data/input"]
    for name, stage in table.items():
        data = [dep for dep in stage["deps"] if dep.startswith(("data/", "results/"))]
        assert not [dep for dep in data if not any(covers(out, dep) or covers(dep, out) for out in written)], name
        written += outs(stage)


def test_every_file_of_the_workspace_belongs_to_a_stage(table):
    written = [out for stage in table.values() for out in outs(stage)]
    files = Workspace()
    known = {name for name, member in inspect.getmembers(Workspace) if isinstance(member, property)}
    scratch = {"cache", "checkpoints", "selection_rows"}  # what runs keep for the next one
    no_stage = {"selection", "selection_table", "selection_page", "comparison", "comparison_full"}  # flows of their own
    no_stage |= {"refresh", "champions"}
    assert not [name for name in known - scratch - no_stage if getattr(files, name).as_posix() not in written]


@pytest.mark.parametrize("name", ["pretrain", "augment", "condense"])
def test_no_stage_before_evaluate_sees_the_test_split(table, name):
    assert not [dep for dep in table[name]["deps"] if covers(dep, HELD_OUT)]


class Watched:
    """Params that remember which of them were looked at."""

    def __init__(self, params, seen, path=""):
        self._params, self._seen, self._path = params, seen, path

    def __getattr__(self, name):
        key = f"{self._path}{name}"
        value = getattr(self._params, name)
        self._seen.add(key)
        return Watched(value, self._seen, f"{key}.") if key == "dataset" else value


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.name != "register"], ids=lambda stage: stage.name)
def test_a_stage_is_handed_the_params_it_names_and_no_other(root, monkeypatch, stage):
    seen, called = set(), []
    module = ModuleType(f"tasks.{stage.name}")
    setattr(module, stage.name, lambda *arguments: called.append(arguments))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    params = Watched(read_params(root), seen)
    stage.run(params, Workspace(), RunOptions())
    assert called
    seen = {key for key in seen if not key.startswith("dataset.")}
    assert seen - {"seed"} == set(stage.params) - {"seed"}  # the seed goes in the options


def test_what_draws_at_random_runs_again_when_the_seed_changes():
    drawing = {"split", "pretrain", "condense", "evaluate"}
    assert {stage.name for stage in STAGES if "seed" in stage.params} == drawing | {"register"}  # which logs it


def test_ruled_by_signature_arguments_fit_the_tasks(root, monkeypatch):
    """The lambdas of the table call the real functions with the arguments these take."""
    import importlib

    params = read_params(root)
    for stage in STAGES:
        module = importlib.import_module(f"tasks.{stage.name}")
        signature = inspect.signature(getattr(module, stage.name))
        with monkeypatch.context() as patch:
            patch.setattr(module, stage.name, lambda *arguments, _signature=signature: _signature.bind(*arguments))
            stage.run(params, Workspace(), RunOptions())


def test_rows_that_were_set_aside_are_told_of(tmp_path):
    files, stage = Workspace(tmp_path), next(stage for stage in STAGES if stage.name == "validate")
    files.validated.mkdir(parents=True)
    for aside, said in ((0, "done"), (18, "done, 18 of 9,709 rows set aside (data/validated/checks.html)")):
        (files.validated / "checks.json").write_text(json.dumps({"n_quarantined": aside, "n_rows": 9_709}))
        assert stage.outcome(files) == said
