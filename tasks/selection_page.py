"""The page of a selection: both rankings as one figure and one table."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tasks.figures import Axis, Series, line_chart
from tasks.page import render_page


def selection_page(result: Mapping[str, Any]) -> str:
    """One HTML page that needs nothing else to be read.

    Args:
        result: Content of ``selection.json``.
    """
    both = trained_on_both(result)
    rows = [
        {
            **row,
            "condensed_rank": rank(row["condensed"]["valid"], [one["condensed"]["valid"] for one in result["rows"]]),
            "full_rank": rank(row["full"]["valid"], [one["full"]["valid"] for one in both]) if row["full"] else None,
        }
        for row in result["rows"]
    ]
    return render_page(
        "selection_template.html",
        {
            "result": result,
            "rows": sorted(rows, key=lambda row: row["condensed_rank"]),
            "best": next(row for row in rows if row["configuration"] == result["best"]),
            "models": list(dict.fromkeys(row["model"] for row in rows)),
            "charts": {name: chart(result, name) for name in ("valid", "test")},
        },
    )


def chart(result: Mapping[str, Any], measured: str) -> Markup:
    """A dot a configuration: validation NDCG@10 on the condensed side, and a figure of full data above it.

    Args:
        result: Content of ``selection.json``.
        measured: ``valid`` or ``test``: which figure of full data.
    """
    marked = {result["chosen"], result["best"]}
    series = [
        Series(
            row["configuration"],
            f"{row['model']}{' marked' if row['configuration'] in marked else ''}",
            [(row["condensed"]["valid"], row["full"][measured])],
            joined=False,
        )
        for row in sorted(trained_on_both(result), key=lambda row: row["configuration"] in marked)  # marked ones on top
    ]
    title = f"{len(series)} configurations: valid NDCG@10 on the condensed side against {measured} NDCG@10 on full data"
    x, y = Axis("NDCG@10, condensed, valid"), Axis(f"NDCG@10, full data, {measured}")
    return line_chart(title, series, x, y, markers=True, height=300)


def trained_on_both(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of configurations that full data, too, were trained with: all, or a shortlist."""
    return [row for row in result["rows"] if row["full"]]


def rank(value: float, values: list[float]) -> int:
    """1 for the largest; equals share the better place."""
    return 1 + sum(other > value for other in values)
