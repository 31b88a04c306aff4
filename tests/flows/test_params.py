import pytest

from dconrec_core.errors import ConfigError, DataError
from flows.params import check_names, parse_changes, read_params, read_preset, write_changes

GOOD = """\
seed: 3 # kept
dataset: {name: synthetic}
teacher: {name: ease}
condense:
  name: dconrec # a comment
  ratio: 0.25
  config: {}
evaluate:
  models: {bprmf: {}}
  baselines: [random]
  seeds: [0]
registration:
  name: null
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "params.yaml").write_text(GOOD)
    return tmp_path


def edit(folder, old, new):
    text = (folder / "params.yaml").read_text()
    assert old in text
    (folder / "params.yaml").write_text(text.replace(old, new))


def test_reads_types_and_defaults(folder):
    params = read_params(folder)
    assert (params.seed, params.condense.ratio, params.split.valid, params.device) == (3, 0.25, 0.1, "auto")
    check_names(params)


def test_the_projects_own_file_is_valid(root):
    check_names(read_params(root))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  config: {}", "  confg: {}", "params.yaml: condense.confg is not a setting; did you mean 'config'?"),
        ("registration:", "registratoin:", "params.yaml: registratoin is not a setting; did you mean 'registration'?"),
        ("ratio: 0.25", "ratio: lots", "params.yaml: condense.ratio is 'lots': input should be a valid number"),
        ("ratio: 0.25", "ratio: 5%", "a valid number, unable to parse string as a number; write 0.05"),
        (
            "models: {bprmf: {}}",
            "models: bprmf",
            "evaluate.models is 'bprmf': it must be a mapping, such as {name: value}",
        ),
        ("seed: 3", "seed: -1", "params.yaml: seed is -1: input should be greater than or equal to 0"),
        ("seeds: [0]", "seeds: []", "evaluate.seeds"),
        ("seeds: [0]", "seeds: [3, -1]", "evaluate.seeds.1 is -1: input should be greater than or equal to 0"),
        ("seeds: [0]", "seeds: [0, 0]", "evaluate.seeds is [0, 0]: a seed that is named twice is one "),
        (
            "name: null",
            "name: 2024-02-30",
            "params.yaml is not YAML: day is out of range for month; put text into",
        ),
        ("name: null", "experiment: ''", "params.yaml: registration.experiment is ''"),
        ("seed: 3", "split: {test: 0.9}", "split: valid 0.1 + test 0.9 leave nothing"),
        ("name: null", "name: team/toy", "registration.name is 'team/toy': MLflow takes no "),
        ("dataset: {name: synthetic}\n", "", "params.yaml: dataset is missing; add it"),
        ("dataset: {name: synthetic}", "dataset: synthetic", "params.yaml: dataset is 'synthetic'"),
        ("  name: dconrec", " name: dconrec", "params.yaml line 6, column 3: "),
        ("[random]", "[random", "params.yaml line 11, column 8: "),
        ("dataset:", "\tdataset:", "params.yaml line 2, column 1: found character '\\t'"),
        ("teacher:", "dataset:", 'params.yaml line 3, column 1: found duplicate key "dataset"'),
        (GOOD, "", "params.yaml holds nothing"),
        (GOOD, "- seed", "params.yaml holds no keys"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_key_or_the_place(folder, old, new, message):
    edit(folder, old, new)
    with pytest.raises(ConfigError) as error:
        read_params(folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: synthetic", "name: synthetik", "dataset.name is 'synthetik'; did you mean 'synthetic'?"),
        ("name: ease", "name: eese", "teacher.name is 'eese'; did you mean 'ease'?"),
        ("name: dconrec", "name: dconreg", "condense.name is 'dconreg'; did you mean 'dconrec'?"),
        ("{bprmf: {}}", "{bprfm: {}}", "evaluate.models is 'bprfm'; did you mean 'bprmf'?"),
        ("[random]", "[rando]", "evaluate.baselines is 'rando'; did you mean 'random'?"),
        ("{bprmf: {}}", "{}", "evaluate.models is empty; name at least one of bprmf"),
        ("{bprmf: {}}", "{bprmf: {epoch: 3}}", "evaluate.models.bprmf.epoch is not a setting; did you mean 'epochs'?"),
        (
            "  config: {}",
            "  config: {n_sample: 3}",
            "condense.config.n_sample is not a setting; did you mean 'n_samples'?",
        ),
        ("seed: 3", "compare: {models: {bprfm: {}}}", "compare.models is 'bprfm'; did you mean 'bprmf'?"),
        (
            "[random]",
            "[random]\n  trials_by_model: {bprfm: 2}",
            "evaluate.trials_by_model is 'bprfm'; did you mean 'bprmf'?",
        ),
        (
            "seed: 3",
            "compare: {condensers: {dconrec: {n_sample: 3}}}",
            "compare.condensers.dconrec.n_sample is not a setting; did you mean 'n_samples'?",
        ),
        (
            "  name: dconrec # a comment\n  ratio: 0.25\n  config: {}",
            "  name: auto\n  ratio: 0.25\n  config: {judge: bprfm}",
            "condense.config.judge is 'bprfm': did you mean 'bprmf'? valid names: ",
        ),
        (
            "models: {bprmf: {}}",
            "trials: 3\n  models: {lightgcn: {eval_every: 20}}",
            "evaluate.models.lightgcn with trial 3 of its search (embedding_size: 224, ",
        ),
        ("ratio: 0.25", f"ratio: 0.25\n  start: {'a' * 64}", "condense.start is set, but dconrec always starts anew"),
        ("ratio: 0.25", "ratio: 0", "condense.ratio is 0.0; it must be above 0 and at most 1"),
        ("ratio: 0.25", "ratio: 1.5", "condense.ratio is 1.5; it must be above 0 and at most 1"),
    ],
)
def test_names_and_settings_are_checked_before_anything_runs(folder, old, new, message):
    edit(folder, old, new)
    with pytest.raises(ConfigError) as error:
        check_names(read_params(folder))
    assert str(error.value).startswith(message)


def test_missing_file_and_wrong_encoding(tmp_path):
    with pytest.raises(DataError, match=r"params\.yaml does not exist; run in the project's folder"):
        read_params(tmp_path)
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff")
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 6\)"):
        read_params(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace("seed: 3", "sede: 3").encode(), r"^presets/toy\.yaml: sede is not a setting"),
        (b"seed: [", r"^presets/toy\.yaml line 1, column 8: "),
        (b"seed: \xff", r"presets/toy\.yaml is not UTF-8 text \(byte 6\)"),
        (b"", r"^presets/toy\.yaml holds nothing"),
    ],
)
def test_what_is_wrong_with_a_preset_is_said_of_that_file(tmp_path, content, message):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/toy.yaml").write_bytes(content)
    with pytest.raises((ConfigError, DataError), match=message):
        read_preset(tmp_path, "toy")


def test_numbers_are_read_as_dvc_reads_them(folder):
    edit(folder, "  config: {}", "  config: {learning_rate: 1e-3}")
    assert read_params(folder).condense.config == {"learning_rate": 0.001}


def test_changes_are_written_and_comments_kept(folder):
    write_changes(folder, parse_changes(["condense.ratio=0.1", "evaluate.seeds=[0, 1]", "checks.min_rows=5"]))
    params = read_params(folder)
    assert (params.condense.ratio, params.evaluate.seeds, params.checks.min_rows) == (0.1, [0, 1], 5)
    text = (folder / "params.yaml").read_text()
    assert "# kept" in text
    assert "# a comment" in text
    assert "name: null" in text
    assert text.startswith("seed: 3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("condense.ratio", "'condense.ratio' sets nothing; write KEY=VALUE"),
        ("=3", "'=3' sets nothing"),
        ("seed=[", "seed: '[' is not a YAML value"),
        ("seed=2024-02-30", "seed: '2024-02-30' is not a YAML value; quote it"),
        ("seed.x=1", "seed.x is not a setting: seed is 3 and has no keys"),
        ("condense.rat=1", "condense.rat is not a setting; did you mean 'ratio'?"),
        ("teacher.name=eese", "teacher.name is 'eese'"),
    ],
)
def test_a_change_that_is_wrong_changes_nothing(folder, change, message):
    with pytest.raises(ConfigError) as error:
        write_changes(folder, parse_changes([change]))
    assert message in str(error.value)
    assert (folder / "params.yaml").read_text() == GOOD
