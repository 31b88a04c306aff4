"""Seeds, code, devices, whole-or-nothing writes, names in the configuration."""

import errno
import math
import os
from pathlib import Path
from typing import Literal

import pytest
import torch
from pydantic import Field

from dconrec_core import code
from dconrec_core.atomic import atomic_file, atomic_folder, write_json, write_text
from dconrec_core.device import resolve_device
from dconrec_core.errors import ConfigError
from dconrec_core.registry import Config, Entry, lookup
from dconrec_core.rng import derive_seed, numpy_rng, torch_rng


def test_seeds_are_told_apart_by_name_and_stay_what_they_are() -> None:
    assert derive_seed(0, "split") == 374788079615300020
    seeds = {derive_seed(seed, *names) for seed in (0, 1) for names in ((), ("a",), ("b",), ("a", "b"), ("a", 1))}
    assert len(seeds) == 10
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_one_name_agree_and_of_two_do_not() -> None:
    assert numpy_rng(3, "x").random() == numpy_rng(3, "x").random() != numpy_rng(3, "y").random()
    first, again, other = (torch.rand(1, generator=torch_rng(seed, "x")) for seed in (3, 3, 4))
    assert first == again != other


def test_core_fingerprint_follows_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: str, content: str) -> None:
        write_text(tmp_path / path, content)
        code.training_code.cache_clear()

    with monkeypatch.context() as patch:
        patch.setattr(code, "CORE", tmp_path)
        write("module.py", "a = 1\n")
        before, training = code.core_fingerprint(), code.training_code()
        write("module.py", "a = 2\n")
        assert code.core_fingerprint() != before
        assert code.training_code() != training
        write("module.py", "a = 1\n")
        assert code.core_fingerprint() == before
        write("condensation/module.py", "b = 1\n")
        assert code.core_fingerprint("condensation") == before != code.core_fingerprint()
        assert code.training_code() == training
    code.training_code.cache_clear()


def test_device_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr("torch.cuda.is_available", lambda there=there: there)
        assert resolve_device("auto").type == expected
        assert resolve_device("cpu").type == "cpu"
    assert resolve_device("cuda").type == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="sees no CUDA device; set device: auto or device: cpu"):
        resolve_device("cuda")


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:  # noqa: PT012
        (temporary / "a").write_text("half")
        raise RuntimeError
    assert (path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_folder_takes_the_whole_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for name in ("a", "b"):
        with atomic_folder(path) as temporary:
            (temporary / name).write_text(name)
    assert [file.name for file in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


def test_folder_whose_last_rename_fails_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "a").write_text("old")
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if target == path and "replaced" not in Path(source).name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space left on device"), atomic_folder(path) as temporary:
        (temporary / "a").write_text("new")
    assert (path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_names_the_file_even_if_the_library_did_not(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught, atomic_file(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "error writing bytes to file")
    assert caught.value.filename == str(tmp_path / "x")


def test_error_that_names_its_file_keeps_that_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_file(tmp_path / "x"):
        (tmp_path / "absent").read_text()
    assert caught.value.filename == str(tmp_path / "absent")
    with pytest.raises(OSError, match="nothing the system said") as other, atomic_folder(tmp_path / "y"):
        raise OSError("nothing the system said")
    assert other.value.filename is None
    assert list(tmp_path.iterdir()) == []


def test_whoever_reads_the_old_file_reads_all_of_it(tmp_path: Path) -> None:
    """Renamed into place, never written over."""
    path = tmp_path / "file.txt"
    write_text(path, "old and long")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old and long"
    assert path.read_text() == "new"


def test_two_that_write_one_path_do_not_meet(tmp_path: Path) -> None:
    """Threads of one process, or processes of one number in two containers with a volume in common."""
    file, folder = tmp_path / "file.txt", tmp_path / "folder"
    with atomic_file(file) as one, atomic_folder(folder) as place:
        one.write_text("first")
        (place / "a").write_text("first")
        with atomic_file(file) as other, atomic_folder(folder) as another:
            other.write_text("second")
            (another / "b").write_text("second")
        assert file.read_text() == "second"
        assert [path.name for path in folder.iterdir()] == ["b"]
    assert file.read_text() == "first"
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert sorted(tmp_path.iterdir()) == [file, folder]


def test_json_is_strict(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "x.json", {"b": "ü", "a": 1})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "b": "ü",\n  "a": 1\n}\n'.encode()


class Inner(Config):
    ratio: float = Field(gt=0, le=1)
    weight: float = 0.0


class Settings(Config):
    inner: Inner
    other: Inner | None = None
    kind: Literal["a", "b"] = "a"


ENTRY: Entry[Settings] = Entry(Settings, lambda config: config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"inner": {"ratio": 0.5}, "kin": "a"},
            r"top\.kin is not a setting; did you mean 'kind'\? valid names: inner, kind, other",
        ),
        ({"inner": {"rati": 0.5}}, r"top\.inner\.rati is not a setting; did you mean 'ratio'\?"),
        ({}, r"top\.inner is missing; add it"),
        ({"inner": {"ratio": 2}}, r"top\.inner\.ratio is 2: input should be less than or equal to 1"),
        ({"inner": {"ratio": "many"}}, r"top\.inner\.ratio is 'many': input should be a valid number"),
        ({"inner": {"ratio": 1}, "kind": "c"}, r"top\.kind is 'c': input should be 'a' or 'b'"),
        ({"inner": {"ratio": 1}, "zzzz": 1}, r"top\.zzzz is not a setting; valid names: inner, kind, other"),
        (
            {"inner": {"ratio": 1}, "other": {"rati": 1}},
            r"top\.other\.rati is not a setting; did you mean 'ratio'\? valid names: ratio, weight",
        ),
        ({"inner": {"ratio": 1, "weight": math.inf}}, r"top\.inner\.weight is inf: input should be a finite number"),
        ({"inner": {"ratio": 1, "weight": math.nan}}, r"top\.inner\.weight is nan: input should be a finite number"),
    ],
)
def test_wrong_settings_name_the_key_and_the_way_out(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ENTRY.configure("top", settings)


def test_right_settings_are_typed_and_frozen() -> None:
    config = ENTRY.configure("top", {"inner": {"ratio": 0.5}})
    assert config.inner.ratio == 0.5
    with pytest.raises(Exception, match="frozen"):
        config.kind = "b"


def test_unknown_name_offers_the_nearest() -> None:
    assert lookup({"random": ENTRY}, "random", "x.name") is ENTRY
    with pytest.raises(ConfigError, match=r"x\.name is 'randon'; did you mean 'random'[?] valid names: other, random"):
        lookup({"random": ENTRY, "other": ENTRY}, "randon", "x.name")
