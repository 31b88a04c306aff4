"""flows → tasks → dconrec_core, no pickle, and a folder ``mlflow/`` that hides nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE_THE_CORE = {"prefect", "mlflow", "dvc", "great_expectations", "yaml", "ruamel", "tasks", "flows"}
UNSAFE = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def sources(*folders: str) -> list[Path]:
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found, f"no Python in {folders}"
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_packages(path: Path) -> set[str]:
    """Top-level names of all absolute imports, those inside functions included."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    from_ = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in plain | from_}


IMPORT_EACH_ALONE = """
import importlib, os, sys, traceback
import numba, pandas, pyarrow, pydantic, safetensors, scipy, torch  # once: a fork below starts with these alone

banned = set(sys.argv[1].split(","))
for name in sys.argv[2:]:
    if os.fork() == 0:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
        loaded = banned & {module.split(".")[0] for module in sys.modules}
        print(name, "loads", ", ".join(sorted(loaded)) or "nothing banned", flush=True)
        os._exit(0)
    os.wait()
"""


def test_each_core_module_imports_alone_without_orchestrator_tracker_or_validator():
    banned = OUTSIDE_THE_CORE - {"yaml"}  # Numba itself looks for one, to read its own configuration file
    modules = [module_name(path) for path in sources("dconrec_core")]
    command = [sys.executable, "-c", IMPORT_EACH_ALONE, ",".join(banned), *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{module} loads nothing banned" for module in modules]


@pytest.mark.parametrize(
    ("folder", "banned"),
    [
        ("dconrec_core", OUTSIDE_THE_CORE),
        ("tasks", {"flows"}),
        ("dconrec_core", UNSAFE),
        ("tasks", UNSAFE),
        ("flows", UNSAFE),
        ("benchmarks", UNSAFE),
    ],
)
def test_no_source_imports(folder, banned):
    found = {path.relative_to(ROOT).as_posix(): imported_packages(path) & banned for path in sources(folder)}
    assert not {path: names for path, names in found.items() if names}


def test_the_mlflow_folder_holds_no_python_and_the_library_wins():
    import mlflow

    ours = ROOT / "mlflow"
    # What MLflow itself keeps there after a run, models with their code among it, is never on sys.path.
    assert not [path for path in ours.rglob("*.py") if "artifacts" not in path.relative_to(ours).parts[:1]]
    assert mlflow.__file__ is not None, "the folder mlflow/ was imported in place of the library"
    assert ROOT / "mlflow" not in Path(mlflow.__file__).parents


def test_no_file_of_flows_or_tasks_hides_a_package():
    # Prefect puts flows/ itself on sys.path when it loads a flow by its file.
    installed = {"prefect", "mlflow", "dvc", "great_expectations", "torch", "tasks", "dconrec_core"}
    hiding = {path.stem for path in sources("flows", "tasks")} & (installed | set(sys.stdlib_module_names))
    assert not hiding - {"__init__"}


def test_prefect_server_imports():
    """Importing ``prefect`` alone does not show that fastapi is too new for it."""
    import prefect.server.api.server

    assert prefect.server.api.server.create_app
