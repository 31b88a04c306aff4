"""The figure of docs/method.md, from convergence.json: running means of the squared norm beside 1/√t."""

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.exponents import running_mean
from benchmarks.results import FOLDER, ROOT, Row, read_rows
from dconrec_core.atomic import atomic_file

PATH = ROOT / "docs" / "figures" / "convergence.svg"


def write_figure() -> None:
    """One panel a problem, the mean over seeds of every estimator; the same file for the same results."""
    rows = [row for row in read_rows(FOLDER / "convergence.json") if row["seed"] == "all" and row["margin"]]
    rows.sort(key=lambda row: (row["dataset"], _colour(row), row["n_samples"]))
    problems = list(dict.fromkeys(row["dataset"] for row in rows))
    if not problems:
        return
    figure = Figure(figsize=(5 * len(problems), 4), layout="constrained")
    for axes, problem in zip(figure.subplots(1, len(problems), squeeze=False)[0], problems, strict=True):
        _panel(axes, problem, [row for row in rows if row["dataset"] == problem])
    PATH.parent.mkdir(exist_ok=True)
    with rc_context({"svg.hashsalt": "convergence", "svg.fonttype": "none"}), atomic_file(PATH) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _panel(axes: Axes, problem: str, rows: list[Row]) -> None:
    widest = max(row["n_samples"] for row in rows)
    for row in rows:
        mean = running_mean(_course(row, "mapping_sq"))
        epochs = np.arange(1, len(mean) + 1)
        style = "-" if row["measured"] else ":"
        axes.plot(
            epochs,
            np.where(mean > 0, mean, np.nan),
            style,
            color=f"C{_colour(row)}",
            label=_label(row),
            linewidth=0.8 + row["n_samples"] / widest,
        )
        if "course_exact_sq" in row:
            axes.plot(epochs, running_mean(_course(row, "exact_sq")), "--", color=f"C{_colour(row)}", linewidth=0.8)
    first = max(running_mean(_course(row, "mapping_sq"))[0] for row in rows)
    axes.plot(epochs, first / np.sqrt(epochs), color="grey", linewidth=0.8, label="1/√t")
    axes.set(xscale="log", yscale="log", title=problem, xlabel="outer epoch t")
    axes.set_ylabel("running mean of ‖G‖²")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _colour(row: Row) -> int:
    return 2 * row["own_user"] + row["variance_reduction"]


def _label(row: Row) -> str:
    return f"{row['estimator']}, {row['n_samples']} masks"


def _course(row: Row, name: str) -> np.ndarray:
    return np.array(row[f"course_{name}"].split(), dtype=np.float64)
