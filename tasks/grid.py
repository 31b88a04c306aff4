"""grid: which cells a comparison has, with each dataset's settings from its preset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dconrec_core.data import DATASETS
from dconrec_core.data.download import file_sha256
from dconrec_core.data.prepare import prepare
from dconrec_core.options import RunOptions
from dconrec_core.registry import lookup
from dconrec_core.types import Split
from tasks.comparison import Cell, Settings, Teaching
from tasks.ingest import load
from tasks.params import Component, PipelineParams
from tasks.split import divide
from tasks.validate import passing

MODEL_COST: Mapping[str, float] = {"bprmf": 1, "ease": 1, "ridge": 1, "lightgcn": 3, "xsimgcl": 8, "ngcf": 20}
"""A training's seconds, roughly, in units of BPRMF's on the same data."""
CONDENSER_COST: Mapping[str, float] = {"dconrec": 10, "dconrec-paper": 10, "synthetic-users": 10, "auto": 20}
"""The same of a condensation; 1 where nothing is said."""


def cells(
    presets: Mapping[str, PipelineParams],
    ratios: Sequence[float],
    condensers: Sequence[str],
    models: Sequence[str],
    seeds: Sequence[int],
    sources: Sequence[str] = ("",),
    trials: int | None = None,
    fold_in: bool = False,
) -> list[Cell]:
    """Every combination.

    Args:
        presets: Name of a dataset → its settings.
        ratios: Budgets.
        condensers: Names in ``CONDENSERS``.
        models: Downstream models.
        seeds: Seeds.
        sources: Source models; an empty name for the preset's own teacher.
        trials: Size of each search; the preset's by default.
        fold_in: Whether real users are folded in whatever the set; see ``Cell``. A preset may ask for it too.
    """
    return [
        Cell(
            dataset=name,
            ratio=ratio,
            condenser=condenser,
            model=model,
            seed=seed,
            teaching=_teaching(preset),
            source=source,
            settings=model_settings(preset, model),
            trials=trials or preset.evaluate.trials_of(model),
            condensing=_condenser_settings(preset, condenser) or None,
            base=model_settings(preset, "bprmf") if "bprmf" in models else None,
            base_trials=trials or preset.evaluate.trials_of("bprmf"),
            source_settings=model_settings(preset, source) if source else {},
            fold_in=fold_in or preset.evaluate.fold_in,
            origin=_origin(preset),
        )
        for name, preset in presets.items()
        for ratio in ratios
        for seed in seeds
        for source in sources
        for condenser in condensers
        for model in models
    ]


def model_settings(preset: PipelineParams, model: str) -> Settings:
    """What departs from a model's defaults in comparisons."""
    return preset.compare.models.get(model, preset.evaluate.models.get(model, {}))


def _condenser_settings(preset: PipelineParams, condenser: str) -> Settings:
    own = preset.condense.config if preset.condense.name == condenser else {}
    return preset.compare.condensers.get(condenser, own)


def _teaching(preset: PipelineParams) -> Teaching:
    teacher, augment = preset.teacher, preset.augment
    return Teaching(teacher.name, teacher.config, augment.pseudo_ratio, augment.min_pseudo)


def _origin(preset: PipelineParams) -> Settings:
    """What decides the split beside the seed; not the folder, in which the same files may lie anywhere.

    Published datasets are what their loaders check them to be. A file of the user's own is known by its content.
    """
    config = {key: value for key, value in preset.dataset.config.items() if key != "folder"}
    path = Path(str(config.get("path", "")))
    content = {"sha256": file_sha256(path)} if preset.dataset.name == "file" and path.is_file() else {}
    return {
        "dataset": {"name": preset.dataset.name, "config": config, **content},
        "prepare": preset.prepare.model_dump(),
        "split": preset.split.model_dump(),
    }


def cheapest_first(cells: Sequence[Cell]) -> list[Cell]:
    """By what a cell costs, roughly, so that a run that is stopped has measured as many as it could.

    Cells that share a condensed set or a reference cost the same but for the downstream model.
    """
    return sorted(cells, key=_cost)


SIZES: Mapping[str, float] = {"ml-100k": 1, "ciao": 4, "ml-1m": 10, "gowalla": 12, "dianping": 30, "ml-20m": 250}
"""Training interactions, in units of MovieLens-100K's; 1 where nothing is said."""


def _cost(cell: Cell) -> tuple[float, float, int, str]:
    source = MODEL_COST.get(cell.source, 1)
    once = MODEL_COST.get(cell.model, 1) + source + CONDENSER_COST.get(cell.condenser, 1)
    return SIZES.get(cell.dataset, 1) * once, cell.ratio, cell.seed, cell.condenser


def load_split(preset: PipelineParams, seed: int, cache: Path, data: Path | None, options: RunOptions) -> Split:
    """The split of a preset under a seed, in memory; of a file of the user's own, of the rows that ``validate`` keeps.

    Args:
        preset: Dataset, checks, preparation and split.
        seed: Of the split.
        cache: Folder of downloads.
        data: Folder of the files that cannot be downloaded; the preset's by default.
        options: Whom to tell of a download's progress.

    Raises:
        DataError: It cannot be had or read, or a critical check fails.
    """
    entry = lookup(DATASETS, preset.dataset.name, "dataset.name")
    settings: dict[str, Any] = dict(preset.dataset.config)
    if data and "folder" in entry.config_class.model_fields:
        settings["folder"] = data
    table = load(Component(name=preset.dataset.name, config=settings), cache, options)
    frame = table.frame
    if preset.dataset.name == "file":  # published ones are what their loaders check them to be
        frame, _, _ = passing(preset.checks, table.source, frame, table.rating_range)
    rules = preset.prepare
    prepared = prepare(frame, table.items, threshold=rules.threshold, k_core=rules.k_core)
    return divide(prepared, preset.split, seed)
