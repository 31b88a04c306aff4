import math
import re

import pytest

from tasks.figures import Axis, Series, line_chart, linear_ticks, log_ticks

PLAIN = (Axis("x"), Axis("y"))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.23, 0.31, [0.22, 0.24, 0.26, 0.28, 0.3, 0.32]),
        (-3, 5, [-4, -2, 0, 2, 4, 6]),
        (1, 30, [0, 10, 20, 30]),
    ],
)
def test_linear_ticks_are_round_and_enclose(low: float, high: float, ticks: list[float]):
    assert linear_ticks(low, high) == ticks


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1, 50, [1, 2, 5, 10, 20, 50]),
        (0.9, 1.9, [1, 1.2, 1.4, 1.6, 1.8]),
        (1, 1e6, [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6]),
        (1e-12, 1e12, [1e-12, 1e-8, 1e-4, 1, 1e4, 1e8, 1e12]),
    ],
)
def test_log_ticks_stay_few(low: float, high: float, ticks: list[float]):
    assert log_ticks(low, high) == ticks


def coordinates(svg: str) -> list[tuple[float, float]]:
    path = re.search(r'class="line[^"]*" d="M([^"]+)"', svg)[1]
    return [tuple(map(float, pair.split())) for pair in path.split("L")]


def test_line_goes_from_corner_to_corner():
    svg = line_chart("t", [Series("s", "full", [(0, 0), (10, 1)])], *PLAIN, width=440, height=260)
    assert coordinates(svg) == [(48, 214), (418, 26)]


def test_log_axis_spaces_by_factor():
    x, y = Axis("x", log=True), Axis("y")
    (a, _), (b, _), (c, _) = coordinates(line_chart("t", [Series("s", "full", [(1, 0), (10, 1), (100, 2)])], x, y))
    assert b - a == pytest.approx(c - b)


@pytest.mark.parametrize("points", [[], [(math.nan, 1.0)], [(1.0, math.inf)]])
def test_nothing_to_draw_is_no_figure(points: list[tuple[float, float]]):
    assert line_chart("t", [Series("s", "full", points)], *PLAIN) == ""


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0, 1e-30, 1e30])
def test_a_single_point_has_room_around_it(value: float):
    svg = line_chart("t", [Series("s", "full", [(1, value)])], *PLAIN)
    assert "nan" not in svg
    (x, y), *_ = coordinates(svg)
    assert 48 < x < 418
    assert 26 < y < 214


def test_text_is_escaped():
    svg = line_chart("<b>&", [Series("</svg>", '"x', [(0, 1), (1, 2)])], Axis("<x>"), Axis("<y>"), markers=True)
    assert "<b>" not in svg
    assert "<x>" not in svg
    assert svg.count("</svg>") == 1
    assert 's-"x' not in svg


def test_points_that_nothing_joins_are_dots_alone():
    svg = line_chart("t", [Series("s", "ease marked", [(0, 0), (10, 1)], joined=False)], *PLAIN, markers=True)
    assert svg.count('<circle class="dot s-ease marked"') == 2
    assert 'class="line' not in svg
