"""The few figures that go with a run in MLflow; the report draws its own."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(ratio_curve: pd.DataFrame, search: pd.DataFrame) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each that has data."""
    if len(ratio_curve):
        yield "quality_against_ratio", _quality(ratio_curve)
    if "mapping_norm_sq" in search and search["mapping_norm_sq"].count() > 1:
        yield "search", _search(search)


def _quality(curve: pd.DataFrame) -> Figure:
    figure, axes = _blank("interactions kept, share of training data", "NDCG@10, share of full data")
    for (condenser, model), rows in curve.groupby(["condenser", "model"], sort=False):
        points = rows.groupby("ratio", as_index=False)["quality"].mean().sort_values("ratio")
        kind = ", inductive" if "inductive" in rows and rows["inductive"].any() else ""
        axes.plot(points["ratio"], points["quality"], marker="o", label=f"{condenser}, {model}{kind}")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.legend(fontsize=8)
    return figure


def _search(search: pd.DataFrame) -> Figure:
    figure, axes = _blank("outer epoch", "squared norm of the gradient mapping")
    running_mean = search["mapping_norm_sq"].expanding().mean()
    axes.plot(search["outer_epoch"], search["mapping_norm_sq"], linewidth=0.6, alpha=0.6, label="each epoch")
    axes.plot(search["outer_epoch"], running_mean, label="running mean")
    if (search["mapping_norm_sq"].dropna() > 0).any():
        axes.set_yscale("log")
    axes.legend(fontsize=8)
    return figure


def _blank(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.5), layout="constrained")  # no pyplot: nothing global, nothing to close
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return figure, axes
