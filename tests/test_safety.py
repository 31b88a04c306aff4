"""What comes from outside stays data: nothing is unpickled or run, nothing leaves its folder, servers stay at home."""

import ast
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dconrec_core.data.download import open_member, read_member
from dconrec_core.errors import DConRecError
from flows.params import read_params
from tasks.workspace import Workspace

ROOT = Path(__file__).parents[1]
FOLDERS = ("dconrec_core", "tasks", "flows", "benchmarks")
FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "pd.read_pickle", "pandas.read_pickle", "np.fromregex", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "torch.save", "torch.jit.load", "torch.hub.load", "mlflow.pytorch.log_model",
    "mlflow.sklearn.log_model", "zipfile.extractall", "tarfile.open", "shutil.unpack_archive",
}  # fmt: skip


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call in the sources: where, of what, and the node."""
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        if "peers" in path.parts:  # run by other environments, on their own files
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), node


def keyword(node: ast.Call, name: str) -> object:
    return next(
        (one.value.value for one in node.keywords if one.arg == name and isinstance(one.value, ast.Constant)), None
    )


def test_nothing_is_run_or_unpickled():
    found = list(calls())
    assert len(found) > 3000
    assert [(where, what) for where, what, _ in found if what in FORBIDDEN or what.endswith(".extractall")] == []
    assert [(where, what) for where, what, node in found if keyword(node, "shell") is True] == []


def test_weights_and_arrays_are_loaded_as_such_alone():
    for where, what, node in calls():
        if what.endswith("torch.load"):
            assert keyword(node, "weights_only") is True, where
        if what in ("np.load", "numpy.load"):
            assert keyword(node, "allow_pickle") is not True, where


def test_servers_listen_on_this_machine_alone():
    hosts = {
        (path.name, node.value)
        for path in (ROOT / "flows").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::", "127.0.0.1", "localhost")
    }
    assert hosts
    assert {value for _, value in hosts} <= {"127.0.0.1", "localhost"}


@pytest.mark.parametrize("member", ["../../escaped", "/escaped", "a/../../escaped", "..\\escaped"])
def test_a_name_in_an_archive_leads_nowhere(tmp_path: Path, member: str):
    archive = tmp_path / "inner/archive.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr(member, "content")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        written.writestr(link, "/etc/passwd")
    assert read_member(archive, member) == b"content"
    with open_member(archive, "link") as file:
        assert file.read() == b"/etc/passwd"  # where it would lead to, not what is there
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {archive}


@pytest.mark.parametrize("key", ["dataset.name", "teacher.name", "condense.name"])
@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "a\x00b"])
def test_a_name_in_params_is_looked_up_and_never_a_path(key: str, name: str):
    from flows.params import check_names

    with pytest.raises(DConRecError, match="valid names"):
        check_names(read_params(ROOT, {key: name}))


def test_everything_is_written_inside_of_the_project():
    files = Workspace()
    paths = [getattr(files, name) for name in dir(Workspace) if isinstance(getattr(Workspace, name), property)]
    paths.append(files.timing("condense"))
    assert len(paths) > 10
    assert not [path for path in paths if path.is_absolute() or ".." in path.parts]
