"""``params.yaml`` → ``PipelineParams``: the only reader and writer of YAML, and the first to say what is wrong."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from dconrec_core.atomic import write_text
from dconrec_core.errors import ConfigError, DataError
from dconrec_core.registry import Entry, explain, lookup, suggest
from flows.env import PARAMS_FILE
from tasks.params import PipelineParams

PRESETS = "presets"
MOST_VALUES, DEEPEST = 100_000, 50
"""Of a ``params.yaml``; far more than anyone writes."""


def read_params(root: Path, changes: Mapping[str, Any] | None = None) -> PipelineParams:
    """Read and check ``params.yaml``; names in the registries are checked by ``check_names``.

    Args:
        root: The project's folder.
        changes: Single keys (``condense.ratio``) to see with other values than the file's.

    Raises:
        DataError: There is no such file, or it is not UTF-8 text.
        ConfigError: It is not YAML, a key is unknown or missing, or a value has the wrong type or range.
    """
    return _validate(read_document(root, changes))


def read_document(root: Path, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the file itself says, without defaults, as plain values.

    Raises:
        DataError: As ``read_params``.
        ConfigError: It is not YAML.
    """
    document: dict[str, Any] = _plain(_changed(_params_text(root), changes or {}), Counter())
    return document


def presets(root: Path) -> list[str]:
    """Names of the files in ``presets/``, which are datasets."""
    return sorted(path.stem for path in (root / PRESETS).glob("*.yaml"))


def read_preset(root: Path, name: str) -> PipelineParams:
    """The settings of a dataset, as ``params.yaml`` would hold them.

    Raises:
        DataError: It is not UTF-8 text.
        ConfigError: There is no such preset, or it is not valid.
    """
    path = root / PRESETS / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"dataset is {name!r}; {suggest(name, presets(root))}, each a file of {PRESETS}/")
    where = f"{PRESETS}/{name}.yaml"
    return _validate(_plain(_parse(_text(path), where), Counter(), where), where)


def write_changes(root: Path, changes: Mapping[str, Any]) -> None:
    """Set single keys in ``params.yaml`` if the result is valid, keeping comments and order.

    The file is changed and not the values in memory, since DVC decides by the file what is stale.

    Raises:
        ConfigError: As ``read_params`` and ``check_names``; the file is left as it was.
    """
    check_names(read_params(root, changes))
    text = io.StringIO()
    _yaml().dump(_changed(_params_text(root), changes), text)
    write_text(root / PARAMS_FILE, text.getvalue())


def parse_changes(assignments: Iterable[str], example: str = "condense.ratio=0.1") -> dict[str, Any]:
    """``["condense.ratio=0.1"]`` → ``{"condense.ratio": 0.1}``; values are YAML."""
    changes = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (equals and key.strip()):
            raise ConfigError(f"{assignment!r} sets nothing; write KEY=VALUE, for instance {example}")
        try:
            changes[key.strip()] = _yaml().load(value)
        except (YAMLError, ValueError, RecursionError):  # 2024-02-30 looks like a date, and is none
            raise ConfigError(
                f"{key.strip()}: {value!r} is not a YAML value; quote it, or check its brackets"
            ) from None
    return changes


def dump_value(value: Any) -> str:
    """A value as ``KEY=VALUE`` takes it, in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {dump_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(dump_value, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def check_names(params: PipelineParams) -> None:
    """Look up every name and check every component's settings before the first stage runs.

    Raises:
        ConfigError: A name is in no registry, or a setting is unknown or wrong; the nearest valid one is offered.
        BudgetError: A ratio is outside (0, 1].
    """
    from dconrec_core.comparison import search  # torch comes with it
    from dconrec_core.condensation import CONDENSERS
    from dconrec_core.data import DATASETS
    from dconrec_core.models import MODELS
    from tasks.selection import wanted_configurations
    from tasks.warm import check_start

    _configure(DATASETS, "dataset", params.dataset.name, params.dataset.config)
    _configure(MODELS, "teacher", params.teacher.name, params.teacher.config)
    _configure(CONDENSERS, "condense", params.condense.name, params.condense.config)
    check_start(params.condense)
    for name, settings in params.evaluate.models.items():
        search(name, settings, params.evaluate.trials_of(name))
    for name in params.evaluate.baselines:
        lookup(CONDENSERS, name, "evaluate.baselines")
    for name, settings in params.compare.models.items():
        search(name, settings, params.evaluate.trials_of(name), "compare.models")
    for name in params.evaluate.trials_by_model:
        lookup(MODELS, name, "evaluate.trials_by_model")
    for name, settings in params.compare.condensers.items():
        lookup(CONDENSERS, name, "compare.condensers").configure(f"compare.condensers.{name}", settings)
    if not params.evaluate.models:
        raise ConfigError(f"evaluate.models is empty; name at least one of {', '.join(sorted(MODELS))}")
    wanted_configurations(params.select)
    _check_ratio("condense.ratio", params.condense.ratio)
    for ratio in params.evaluate.curve_ratios:
        _check_ratio("evaluate.curve_ratios", ratio)


def _configure(registry: Mapping[str, Entry[Any]], section: str, name: str, config: Mapping[str, Any]) -> None:
    lookup(registry, name, f"{section}.name").configure(f"{section}.config", config)


def _check_ratio(where: str, ratio: float) -> None:
    if not 0 < ratio <= 1:
        raise ConfigError(f"{where} is {ratio}; it must be above 0 and at most 1")


def _params_text(root: Path) -> str:
    path = root / PARAMS_FILE
    if not path.is_file():
        raise DataError(f"{path} does not exist; run in the project's folder (the one with {PARAMS_FILE} and dvc.yaml)")
    return _text(path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _yaml() -> YAML:
    yaml = YAML()  # YAML 1.2 with comments kept: the dialect DVC reads, where 1e-3 is a number
    yaml.width = 120
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def _parse(text: str, where: str = PARAMS_FILE) -> Any:
    try:
        document = _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise ConfigError(f"{where}{place}: {problem}; check indentation, colons and quotes there") from None
    except (YAMLError, ValueError) as error:  # of a value that is none of its kind, such as the date 2024-02-30
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}; put text into quotes") from None
    except RecursionError:
        raise ConfigError(f"{where} nests too deeply to be read; check its brackets") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{where} holds {'nothing' if document is None else 'no keys'}; docs/params.md shows one")
    return document


def _validate(document: Mapping[str, Any], where: str = PARAMS_FILE) -> PipelineParams:
    try:
        return PipelineParams.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, '', PipelineParams)}") from None


def _plain(value: Any, seen: Counter[str], where: str = PARAMS_FILE, depth: int = 0) -> Any:
    """Without ruamel's own kinds of number, string and mapping, so that a message shows the value as it was written.

    Anchors and aliases are unfolded, and a few lines of them can stand for more than fits into memory.
    """
    seen["values"] += 1
    if seen["values"] > MOST_VALUES or depth > DEEPEST:
        raise ConfigError(f"{where} unfolds to more than {MOST_VALUES} values or {DEEPEST} levels; check its anchors")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, seen, where, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, seen, where, depth + 1) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _changed(text: str, changes: Mapping[str, Any]) -> Any:
    document = _parse(text)
    for key, value in changes.items():
        _assign(document, key, value)
    return document


def _assign(document: Any, key: str, value: Any) -> None:
    *path, last = key.split(".")
    node = document
    for depth, part in enumerate(path):
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{key} is not a setting: {'.'.join(path[: depth + 1])} is {node!r} and has no keys")
    node[last] = value
