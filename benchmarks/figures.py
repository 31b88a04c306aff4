"""``python -m benchmarks.figures``: the figures of docs/results.md from the results files, into docs/figures.

SVG, and the same bytes for the same rows: a change in git is a change of a figure.
"""

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import results
from benchmarks.markdown import distinct, title
from benchmarks.paper_page import MODEL, MODELS, OURS
from benchmarks.results import ROOT, Row, read_rows
from dconrec_core.atomic import write_text

Rows = Sequence[Row]
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 25, 50)
STYLE: dict[Any, Any] = {"svg.hashsalt": "dconrec", "svg.fonttype": "none", "font.size": 9}
COLOURS = mpl.colormaps["tab20"]


def quality_against_ratio(rows: Rows) -> Figure | None:
    """One panel a dataset, one line a condenser: BPRMF's share of its figure on full data; inductive sets dashed."""
    mine = [row for row in rows if row["downstream_model"] == MODEL and row["ratio"] < 1]
    if not mine:
        return None
    datasets, names = distinct(mine, "dataset"), sorted(distinct(mine, "condenser"))
    figure = Figure(figsize=(5.2 * min(2, len(datasets)), 3.6 * ((len(datasets) + 1) // 2)), layout="constrained")
    grid = figure.subplots((len(datasets) + 1) // 2, min(2, len(datasets)), squeeze=False).flat
    handles: dict[str, Any] = {}
    for axes, dataset in zip(grid, datasets, strict=False):
        for position, name in enumerate(names):
            some = [row for row in mine if (row["dataset"], row["condenser"]) == (dataset, name)]
            if some:
                handles[name] = _curve(axes, some, COLOURS(position % 20), name == OURS)
        axes.axhline(100, color="grey", linewidth=0.8)
        axes.set(title=dataset, xscale="log", xlabel="interactions kept, %", ylabel="% of full data")
        ratios = [100 * row["ratio"] for row in mine if row["dataset"] == dataset]
        axes.set_xticks(
            shown := [tick for tick in TICKS if min(ratios) <= tick <= max(ratios)], map("{:g}".format, shown)
        )
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    for axes in list(grid)[len(datasets) :]:
        axes.set_visible(False)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=5, fontsize=8)
    return figure


def _curve(axes: Axes, rows: Rows, colour: object, ours: bool) -> Any:
    ratios = sorted({row["ratio"] for row in rows})
    values = [[100 * row["quality"] for row in rows if row["ratio"] == ratio] for ratio in ratios]
    bars = [stdev(some) if len(some) > 1 else 0.0 for some in values]
    return axes.errorbar(
        [100 * ratio for ratio in ratios],
        [fmean(some) for some in values],
        bars,
        color=colour,
        marker="o",
        markersize=3,
        linewidth=2.5 if ours else 1,
        linestyle="--" if rows[0].get("inductive") else "-",
        capsize=2,
    )


def heat_maps(rows: Rows) -> Figure | None:
    """One panel a dataset: the mean share of full data, source model down, downstream model across."""
    if not rows:
        return None
    datasets = distinct(rows, "dataset")
    sources, models = (
        [name for name in MODELS if name in distinct(rows, key)] for key in ("source_model", "downstream_model")
    )
    figure = Figure(figsize=(3.2 * len(datasets) + 0.8, 3.2), layout="constrained")
    panels, image = list(figure.subplots(1, len(datasets), squeeze=False).flat), None
    for axes, dataset in zip(panels, datasets, strict=True):
        table = [[_mean(rows, dataset, source, model) for model in models] for source in sources]
        image = axes.imshow(table, vmin=70, vmax=105, cmap="viridis")
        for i, line in enumerate(table):
            for j, value in enumerate(line):
                axes.text(
                    j,
                    i,
                    "–" if value != value else f"{value:.1f}",
                    ha="center",
                    va="center",
                    color="white" if value < 92 else "black",
                )
        axes.set_xticks(range(len(models)), [title(name) for name in models], rotation=30, ha="right")
        axes.set_yticks(range(len(sources)), [title(name) for name in sources])
        axes.set(title=dataset, xlabel="downstream", ylabel="source" if axes is panels[0] else "")
    if image is not None:
        figure.colorbar(image, ax=panels, label="% of full data", shrink=0.8)
    return figure


def _mean(rows: Rows, dataset: str, source: str, model: str) -> float:
    values = [
        100 * row["quality"]
        for row in rows
        if (row["dataset"], row["source_model"], row["downstream_model"]) == (dataset, source, model)
    ]
    return fmean(values) if values else float("nan")


def ablation_bars(rows: Rows) -> Figure | None:
    """One bar a variant and model."""
    if not rows:
        return None
    variants, models = distinct(rows, "variant"), distinct(rows, "downstream_model")
    figure = Figure(figsize=(7, 0.42 * len(variants) + 1.2), layout="constrained")
    axes, height = figure.subplots(), 0.8 / len(models)
    for position, model in enumerate(models):
        values = [
            [100 * r["quality"] for r in rows if (r["variant"], r["downstream_model"]) == (variant, model)]
            for variant in variants
        ]
        axes.barh(
            [place + position * height for place in range(len(variants))],
            [fmean(some) if some else 0.0 for some in values],
            height,
            xerr=[stdev(some) if len(some) > 1 else 0.0 for some in values],
            label=title(model),
        )
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(variants))], variants)
    axes.invert_yaxis()
    axes.axvline(100, color="grey", linewidth=0.8)
    axes.set_xlabel("NDCG@10, % of full data")
    figure.legend(loc="outside upper right", ncols=len(models), fontsize=8)
    return figure


FIGURES: dict[str, tuple[str, Callable[[Rows], Figure | None]]] = {
    "quality": ("quality", quality_against_ratio),
    "cross_architecture": ("cross_architecture", heat_maps),
    "ablation": ("ablation", ablation_bars),
}
"""Name of a figure → the results file it is drawn from, and what draws it."""


def write_all(rows_in: Path | None = None, out: Path | None = None) -> list[Path]:
    """Draw what there are rows for; the files that were written."""
    folder, written = out or ROOT / "docs" / "figures", []
    for name, (file, draw) in FIGURES.items():
        with mpl.rc_context(STYLE):
            drawn = draw(read_rows((rows_in or results.FOLDER) / f"{file}.json"))
            if drawn is not None:
                text = StringIO()
                drawn.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
                folder.mkdir(parents=True, exist_ok=True)
                write_text(
                    folder / f"{name}.svg", "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
                )
                written.append(folder / f"{name}.svg")
    return written


if __name__ == "__main__":
    for path in write_all():
        print(f"wrote {path.relative_to(ROOT)}")
