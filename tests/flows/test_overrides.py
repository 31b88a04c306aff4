"""What DVC makes of a changed ``params.yaml``, by its own reader of ``--set-param``."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dconrec_core.errors import ConfigError
from flows.overrides import overrides
from flows.params import read_document, read_params


def told(folder: Path, before, after) -> None:
    """Change the file in ``folder`` as ``dvc exp run`` does."""
    for name, arguments in to_path_overrides(overrides(before, after)).items():
        apply_overrides(folder / name, arguments)


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate.models": {"bprmf": {}}},
        {"evaluate.models": {"lightgcn": {"epochs": 5}}},
        {"registration.name": "1"},
        {"registration.name": "my set, v2"},
        {"registration.experiment": "it's \\ \"quoted\" \\\\' \\"},
        {"registration.name": ""},
        {"registration": {}},
        {"condense.config.steps": 100},
        {"condense.config": {"steps": 100}},
        {"condense.start": None},
        {"registration.gate.max_loss": 0.5},
        {"dataset.config": {"path": "data/input/my file.csv"}},
        {"teacher.config": {"regularization": 1e-07}},
        {"evaluate.seeds": [1, 2], "seed": 3, "device": "cpu"},
        {"select.grid": {"ease": {"regularization": [[1.0], [100.0]]}, "bprmf": {"epochs": [10]}}},
        {"teacher": {"name": "bprmf", "config": {}}},
    ],
)
def test_dvc_runs_with_the_settings_that_were_checked(root, tmp_path, changes):
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    checked = read_params(tmp_path, changes)
    told(tmp_path, read_document(tmp_path), read_document(tmp_path, changes))
    assert read_params(tmp_path) == checked


PRINTABLE = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"))
NUMBERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
TEXTS = st.text(PRINTABLE | st.sampled_from("'\"\\,=:${}[]~# 01"), max_size=8).filter(
    lambda text: "${" not in text and text != "???"
)
KEYS = st.sampled_from(["a", "b-c", "D_2"])
VALUES = st.recursive(
    NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.dictionaries(KEYS, VALUES, min_size=1))
def test_any_file_becomes_any_other(before, after):
    with TemporaryDirectory() as folder:
        YAML().dump(before, Path(folder, "params.yaml"))
        told(Path(folder), before, after)
        assert repr(read_document(Path(folder))) == repr(in_order(read_document(Path(folder)), after))


def in_order(like, value):
    """``value`` with the keys of its mappings in the order of ``like``, so that it tells 1 from 1.0 and from true."""
    if isinstance(value, dict) and isinstance(like, dict) and value.keys() == like.keys():
        return {key: in_order(like[key], value[key]) for key in like}
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${seed}", r"a\.b is '\${seed}', which DVC cannot be told"),
        ("???", r"a\.b is '\?\?\?', which DVC cannot be told"),
        ({"c d": 1}, r"a\.b has the key 'c d', which DVC cannot be told"),
        ({"true": 1}, r"a\.b has the key 'true'"),
    ],
)
def test_what_dvc_has_no_words_for_is_refused(value, words):
    with pytest.raises(ConfigError, match=words):
        list(overrides({"a": {}}, {"a": {"b": value}}))
