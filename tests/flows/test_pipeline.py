"""The whole path in real projects: Prefect, DVC and MLflow as a user has them, on data small enough to wait for."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from prefect.settings import PREFECT_API_URL

from tests.flows.project import call, commit, dvc, environment, git, make_project, outputs, pipeline, stage

pytestmark = pytest.mark.slow

STAGES = ["ingest", "validate", "split", "pretrain", "augment", "condense", "evaluate", "report", "register"]


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    """A project after one ``python -m flows.pipeline``, and what that said."""
    folder = make_project(tmp_path_factory.mktemp("flow") / "project")
    said = pipeline(folder)
    assert said.returncode == 0, said.stdout + said.stderr
    commit(folder, "first run")
    return folder, said


@pytest.fixture
def again(prefect_server):
    """``pipeline`` beside a Prefect server that is there already: it starts none of its own, which is half its time."""
    return functools.partial(pipeline, PREFECT_API_URL=PREFECT_API_URL.value())


@pytest.fixture
def project(first_run, tmp_path):
    """A copy of that project, to change at will."""
    return shutil.copytree(first_run[0], tmp_path / "project", symlinks=True)


def test_flow_does_every_stage_and_shows_the_table_and_where_to_look(first_run):
    folder, said = first_run
    assert said.stdout.splitlines()[-1] == f"did {', '.join(STAGES)}"
    for words in ("Full data", "Condensed", "Random observed", "Popularity ranking", "results/report.html", "make ui"):
        assert words in said.stdout
    assert [line.split()[1] for line in said.stderr.splitlines() if " done " in line] == STAGES
    assert "Traceback" not in said.stderr
    assert git(folder, "status", "--porcelain") == ""  # what is written is ignored, or was committed: dvc.lock


def test_second_flow_and_dvc_find_nothing_to_do(first_run):
    folder, _ = first_run
    before = outputs(folder), (folder / "dvc.lock").read_bytes()
    said = pipeline(folder, "device=cpu")  # how to run, so no reason to run again
    assert said.stdout.splitlines()[-1] == "nothing to do: every stage is up to date"
    assert said.stderr.count("up to date") == len(STAGES)
    registered = next(line for line in said.stdout.splitlines() if line.startswith("registered"))
    assert registered in first_run[1].stdout
    assert "champion" in registered
    assert json.loads(dvc(folder, "status", "--json")) == {}
    assert "Running stage" not in dvc(folder, "repro")
    assert before == (outputs(folder), (folder / "dvc.lock").read_bytes())
    git(folder, "checkout", "--quiet", "params.yaml")


def test_dvc_repro_writes_the_same_bytes_and_leaves_the_flow_nothing(first_run, tmp_path, again):
    other = make_project(tmp_path / "by dvc")
    dvc(other, "repro")
    assert outputs(other) == outputs(first_run[0])
    said = again(other)
    assert said.stdout.splitlines()[-1] == "nothing to do: every stage is up to date"
    assert git(other, "status", "--porcelain") == "?? dvc.lock\n"


def test_changed_param_runs_what_depends_on_it_and_going_back_takes_it_from_the_cache(project, again):
    said = again(project, "condense.ratio=0.5")
    assert said.stdout.splitlines()[-1] == "did condense, evaluate, report, register"
    assert "condense.ratio" in dvc(project, "params", "diff")
    assert "bprmf.condensed.n_interactions" in dvc(project, "metrics", "diff")
    git(project, "checkout", "--quiet", "params.yaml")
    said = again(project)
    assert said.stdout.splitlines()[-1] == "did condense, evaluate, report, register"
    assert said.stderr.count("from the cache of an earlier run") == 3  # register alone runs again
    changed = [
        line for line in git(project, "diff", "--unified=0", "dvc.lock").splitlines() if line[:2] in ("- ", "+ ")
    ]
    assert {line.split()[1] for line in changed} <= {"md5:", "size:"}
    assert len(changed) <= 4  # that of registration.json: another run of MLflow


def test_dvc_runs_one_stage_and_shows_metrics_params_and_experiments(project):
    assert "Running stage 'report'" in dvc(project, "repro", "--single-item", "--force", "report")
    assert "bprmf.condensed.ndcg@10" in dvc(project, "metrics", "show")
    assert "Ran experiment" in dvc(project, "exp", "run", "--set-param", "condense.ratio=0.1")
    assert "0.1" in dvc(project, "params", "diff")
    card = json.loads((project / "data/condensed/card.json").read_text())
    assert card["ratio"] == pytest.approx(0.1, abs=0.01)


def test_push_and_pull_restore_a_fresh_clone(first_run, tmp_path):
    folder, _ = first_run
    dvc(folder, "remote", "add", "--local", "--default", "--force", "store", str(tmp_path / "store"))
    dvc(folder, "push")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(folder), str(clone))
    dvc(clone, "remote", "add", "--local", "--default", "store", str(tmp_path / "store"))
    dvc(clone, "pull", "--allow-missing")
    assert outputs(clone) == outputs(folder)
    said = dvc(clone, "repro")  # all is there but this checkout's own registration
    assert re.findall("Running stage '(.*)'", said) == ["register"]


def test_plots_page_needs_no_network(first_run, tmp_path):
    folder, _ = first_run
    call(folder, sys.executable, "-m", "flows.plots")
    dvc(folder, "plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    assert "https://cdn" not in page
    assert "vegaEmbed=" in page.replace(" ", "")
    assert page.count("vegaEmbed('#") == 4


def test_failing_stage_is_one_line_and_leaves_what_was_there(project, again):
    (project / "params.yaml").write_text(
        (project / "params.yaml").read_text().replace("min_rows: 100", "min_rows: 9999")
    )
    before = outputs(project)
    said = again(project)
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    *_, last = said.stderr.splitlines()
    assert last.startswith("validate: ")
    assert "9999" in last
    assert outputs(project) == before


def test_stage_says_in_one_line_what_is_wrong(project):
    for name, words in (("splt", "did you mean 'split'?"), ("ingest", "")):
        (project / "params.yaml").write_text("dataset: [") if name == "ingest" else None
        said = stage(project, name)
        assert said.returncode == 1
        assert len(said.stderr.splitlines()) == 1
        assert words in said.stderr


def test_without_git_the_way_out_is_named(tmp_path, again):
    folder = make_project(tmp_path / "archive")
    shutil.rmtree(folder / ".git")
    said = again(folder)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith(f"{folder} is not a Git repository")
    assert "git init" in said.stderr
    assert "Traceback" not in said.stderr


def test_sigterm_ends_the_server_of_the_run_too(project):
    log = project / "run.log"
    with log.open("w") as stream:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.pipeline", "seed=7"],
            cwd=project, env=environment(), stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while "[3/9]" not in log.read_text() and time.monotonic() < end:
            time.sleep(0.1)
        mine = psutil.Process(run.pid).children(recursive=True)
        assert any("uvicorn" in " ".join(one.cmdline()) for one in mine)
        run.terminate()
        assert run.wait(60) == 128 + signal.SIGTERM
        _, left = psutil.wait_procs(mine, timeout=30)
        assert left == []
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert pipeline(project, "seed=7").returncode == 0
