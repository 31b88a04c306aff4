"""The report's figures: which lines go into which panel. How a line is drawn is in figures.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from tasks.figures import Axis, Point, Series, line_chart, percent, style_of
from tasks.summary import LABELS, MODEL_LABELS, Result, set_labels

Counts = npt.NDArray[np.int64]

TAIL_HEAD = 0.2
"""The most popular fifth of the catalogue is the head, the rest the long tail."""
SEARCH_COLUMNS = {
    "valid_loss": "Validation loss",
    "valid_ndcg@10": "Validation NDCG@10",
    "expected_size": "Expected size",
    "mapping_norm_sq": "Gradient mapping, squared norm",
}


@dataclass(frozen=True)
class Panel:
    """One chart and the words above it."""

    heading: str
    svg: Markup


@dataclass(frozen=True)
class Figure:
    """Panels that share a legend of (style, label) pairs."""

    panels: Sequence[Panel]
    legend: Sequence[tuple[str, str]] = ()


def ratio_figure(curve: pd.DataFrame, results: Sequence[Result], condenser: str, ratio: float) -> Figure:
    """Quality against ratio, one panel a model, one line a condenser.

    The sets of the result table, all made at ``ratio``, join the curve.
    """
    lines: dict[str, dict[str, dict[float, float]]] = {}
    for result in results:
        if result.training_set != "full" and result.quality:
            lines.setdefault(result.model, {})[result.training_set] = {ratio: result.quality.mean}
    means = curve.groupby(["condenser", "model", "ratio"], sort=False, as_index=False)["quality"].mean()
    for row in means.to_dict("records"):
        name = "condensed" if row["condenser"] == condenser else row["condenser"]
        lines.setdefault(row["model"], {}).setdefault(name, {}).setdefault(row["ratio"], row["quality"])
    # A model with single points alone (the curve is made with one model) says nothing that the table does not.
    lines = {model: of_model for model, of_model in lines.items() if any(len(line) > 1 for line in of_model.values())}
    names = dict.fromkeys(name for of_model in lines.values() for name in of_model)
    labels = {name: set_labels(results).get(name, name) for name in names}
    panels = [Panel(_model(model), _ratio_chart(model, of_model, labels)) for model, of_model in lines.items()]
    return Figure(panels, [(style_of(name), label) for name, label in labels.items()])


def _ratio_chart(model: str, lines: Mapping[str, Mapping[float, float]], labels: Mapping[str, str]) -> Markup:
    ratios = sorted({ratio for line in lines.values() for ratio in line})
    series = [Series(labels[name], style_of(name), sorted(line.items())) for name, line in lines.items()]
    x = Axis("interactions kept, share of the training data (log)", log=True, ticks=_apart(ratios), write=percent)
    y = Axis("NDCG@10, share of full data", write=percent, from_zero=True)
    shown = ", ".join(labels[name] for name in lines)
    title = f"{_model(model)}: NDCG@10 as a share of full data against the ratio, for {shown}"
    return line_chart(title, series, x, y, reference=(1.0, "full data"), markers=True)


def training_figure(curves: pd.DataFrame, results: Sequence[Result]) -> Figure:
    """Loss and validation NDCG per epoch on full and on condensed data, one row of panels a model; the first seed."""
    panels, labels = [], set_labels(results)
    for model in dict.fromkeys(curves["model"]):
        rows = curves[(curves["model"] == model) & curves["training_set"].isin(("full", "condensed"))]
        rows = rows[rows["seed"] == rows["seed"].min()]
        for column, label in (("loss", "training loss"), ("valid_ndcg@10", "validation NDCG@10")):
            series = [
                Series(labels[str(name)], str(name), list(zip(part["epoch"], part[column], strict=True)))
                for name, part in rows.groupby("training_set", sort=False)
            ]
            title = f"{_model(model)}: {label} per epoch on full and on condensed data"
            svg = line_chart(title, series, Axis("epoch"), Axis("", from_zero=column != "loss"))
            if svg:
                panels.append(Panel(f"{_model(model)}, {label}", svg))
    return Figure(panels, [(name, labels[name]) for name in ("full", "condensed")])


def search_figure(history: pd.DataFrame, budget: int) -> Figure:
    """What the condenser's search did, one panel a column; a condenser without a search has none."""
    told = history.select_dtypes("number").columns.drop("outer_epoch", errors="ignore")
    columns = [column for column in dict.fromkeys((*SEARCH_COLUMNS, *told)) if column in told]
    columns = [column for column in columns if history[column].notna().sum() > 1]
    narrow = 340 if len(columns) == 3 else 440
    panels = []
    for column in columns:
        heading = SEARCH_COLUMNS.get(column, column)
        series = [Series("each epoch", "condensed", list(zip(history["outer_epoch"], history[column], strict=True)))]
        is_norm = column == "mapping_norm_sq"
        if is_norm:  # what the theory bounds is the running mean: O(1 / sqrt t)
            mean = history[column].expanding().mean()
            running = list(zip(history["outer_epoch"], mean, strict=True))
            series = [replace(series[0], style="soft"), Series("running mean", "condensed", running)]
        y = Axis("", log=is_norm, from_zero=column == "expected_size", write=_short)
        reference = (float(budget), "budget") if column == "expected_size" else None
        title = f"{heading} per outer epoch of the search"
        svg = line_chart(title, series, Axis("outer epoch"), y, reference=reference, width=narrow)
        if svg:
            panels.append(Panel(heading, svg))
    return Figure(panels)


def popularity_figure(full: Counts, condensed: Counts) -> Figure:
    """How interactions spread over the catalogue: share held by the top items, and count by rank."""
    sets = (("full", full), ("condensed", condensed))
    share = [Series(LABELS[name], name, _concentration(counts)) for name, counts in sets]
    rank = [Series(LABELS[name], name, _rank_curve(counts)) for name, counts in sets]
    top = Axis("most popular items, share of the catalogue", ticks=(0, 0.2, 0.4, 0.6, 0.8, 1), write=percent)
    held = Axis("interactions held", ticks=(0, 0.25, 0.5, 0.75, 1), write=percent, from_zero=True)
    panels = [
        Panel("Concentration", line_chart("Share of interactions held by the most popular items", share, top, held)),
        Panel(
            "Popularity by rank",
            line_chart(
                "Interactions of each item against its popularity rank",
                rank,
                Axis("rank of the item (log)", log=True),
                Axis("interactions of the item (log)", log=True),
            ),
        ),
    ]
    return Figure([panel for panel in panels if panel.svg], [(name, LABELS[name]) for name, _ in sets])


@dataclass(frozen=True)
class Spread:
    """How a set of interactions spreads over users and items."""

    name: str
    n_interactions: int
    n_items: int
    coverage: float  # of the catalogue
    tail_share: float  # interactions with items outside the head of the full data
    gini: float  # 0 all items alike, 1 one item has all
    n_users: int
    user_median: float  # interactions of the median user who has any


def spread(name: str, users: Counts, items: Counts, popularity: Counts) -> Spread:
    """Measure the pairs (``users``, ``items``) against the full data's ``popularity`` ``[n_items]``."""
    counts = np.bincount(items, minlength=len(popularity))
    order = np.argsort(-popularity, kind="stable")
    tail = order[int(np.ceil(TAIL_HEAD * len(order))) :]
    degrees = np.unique(users, return_counts=True)[1]
    return Spread(
        name,
        len(items),
        n_items=int((counts > 0).sum()),
        coverage=float((counts > 0).mean()),
        tail_share=float(counts[tail].sum() / max(len(items), 1)),
        gini=_gini(counts),
        n_users=len(degrees),
        user_median=float(np.median(degrees)) if len(degrees) else 0.0,
    )


def _gini(counts: Counts) -> float:
    ascending = np.sort(counts)
    n, total = len(ascending), ascending.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ ascending / (n * total)) if total else 0.0


def _concentration(counts: Counts) -> list[Point]:
    """Cumulative share of interactions by share of items, most popular first, at each percent."""
    held = np.concatenate(([0], np.cumsum(np.sort(counts)[::-1]))) / max(counts.sum(), 1)
    at = np.unique(np.linspace(0, len(counts), 101).round().astype(int))
    return [(index / len(counts), float(held[index])) for index in at]


def _rank_curve(counts: Counts) -> list[Point]:
    """Interactions of the item at each rank, at up to 120 ranks evenly apart on a log axis."""
    ordered = np.sort(counts[counts > 0])[::-1]
    ranks = np.unique(np.geomspace(1, max(len(ordered), 1), 120).round().astype(int))
    return [(float(rank), float(ordered[rank - 1])) for rank in ranks if rank <= len(ordered)]


def _apart(ratios: Sequence[float]) -> list[float]:
    """Ticks at the ratios themselves, but for those whose texts would touch."""
    kept: list[float] = []
    room = (ratios[-1] / ratios[0]) ** 0.09 if len(ratios) > 1 else 1.0
    for ratio in ratios:
        if not kept or ratio / kept[-1] > room:
            kept.append(ratio)
    return kept


def _short(value: float) -> str:
    if abs(value) < 10_000:
        return f"{value:,.4g}"
    return f"{value / 1e3:.3g}k" if abs(value) < 1e6 else f"{value / 1e6:.3g}M"


def _model(name: str) -> str:
    return MODEL_LABELS.get(name, name)
