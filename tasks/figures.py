"""Lines and points as inline SVG: numbers in, the same markup out every time; colours come from the page's own CSS."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Point = tuple[float, float]

LEFT, RIGHT, TOP, BOTTOM = 48, 22, 26, 46  # room around the plot, in units of the view box
STYLES = ("full", "condensed", "dconrec", "random", "random-pool", "random-users", "popularity", "teacher-top")
"""Training sets that have a colour of their own."""


@dataclass(frozen=True)
class Series:
    """One line, or points that nothing joins.

    ``style`` is a CSS class of the page, so that a thing has the same colour in every figure.
    """

    name: str
    style: str
    points: Sequence[Point]
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """How an axis is drawn.

    Args:
        label: What it shows, with its unit.
        log: Whether it is logarithmic; points that are not positive are left out then.
        ticks: Where its ticks are, if not at round numbers.
        write: From a tick's value to its text.
        from_zero: Whether a linear axis must show zero.
    """

    label: str
    log: bool = False
    ticks: Sequence[float] | None = None
    write: Callable[[float], str] = "{:,.4g}".format
    from_zero: bool = False


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def line_chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    reference: tuple[float, str] | None = None,
    markers: bool = False,
    width: int = 440,
    height: int = 260,
) -> Markup:
    """Draw lines over two axes.

    Args:
        title: Says in words what is to be seen, for those who cannot see it.
        series: The lines; points that are not finite are left out.
        x: The horizontal axis.
        y: The vertical axis.
        reference: A horizontal line at a value, and what it means.
        markers: Whether each point gets a dot that tells its value.
        width: Of the view box; about the width in pixels that it is shown at.
        height: Of the view box.

    Returns:
        An ``<svg>`` element; empty where there is nothing to draw.
    """
    drawn = [(one, _drawable(one.points, x.log, y.log)) for one in series]
    drawn = [(one, points) for one, points in drawn if points]
    if not drawn:
        return Markup("")
    xs = [point[0] for _, points in drawn for point in points]
    ys = [point[1] for _, points in drawn for point in points] + ([reference[0]] if reference else [])
    x_ticks, x_scale = _fit(x, xs, LEFT, width - RIGHT, tight=True)
    y_ticks, y_scale = _fit(y, ys, height - BOTTOM, TOP if y.label else TOP // 2)
    parts = [
        *_y_axis(y, y_ticks, y_scale, width),
        *_x_axis(x, x_ticks, x_scale, width, height),
        *(_reference(*reference, y_scale, width) if reference else ()),
        *(_line(one, points, x_scale, y_scale) for one, points in drawn if one.joined),
    ]
    if markers:
        parts += [_dot(one, point, x, y, x_scale, y_scale) for one, points in drawn for point in points]
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, title, Markup("").join(parts)
    )


def _drawable(points: Sequence[Point], log_x: bool, log_y: bool) -> list[Point]:
    return [
        (x, y)
        for x, y in points
        if math.isfinite(x) and math.isfinite(y) and not (log_x and x <= 0) and not (log_y and y <= 0)
    ]


def _fit(
    axis: Axis, values: Sequence[float], start: float, end: float, *, tight: bool = False
) -> tuple[list[float], _Scale]:
    """Ticks and scale for ``values``; a ``tight`` scale ends at the values, any other at a tick."""
    low, high = min(values), max(values)
    if axis.from_zero and not axis.log:
        low = min(low, 0.0)
    if low == high:  # one value: make room around it
        low, high = (low / 2, high * 2) if axis.log else (low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2)
    if axis.ticks is not None:
        ticks = list(axis.ticks)
    elif axis.log:
        ticks = log_ticks(low, high)
    else:
        ticks = linear_ticks(low, high)
        if not tight:
            low, high = min(low, ticks[0]), max(high, ticks[-1])
    return [tick for tick in ticks if low <= tick <= high], _Scale(low, high, start, end, axis.log)


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that enclose ``low`` and ``high``."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between ``low`` and ``high``, at most seven; 1, 2, 5 or other round numbers where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if math.log10(high / low) < 2 else (1,)
    every = max(1, math.ceil((last - first) / 6))
    ticks = [float(f"{factor}e{power}") for power in range(first, last + 1, every) for factor in factors]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) > 2 else [tick for tick in linear_ticks(low, high) if low <= tick <= high]


def _y_axis(axis: Axis, ticks: Sequence[float], scale: _Scale, width: int) -> list[Markup]:
    parts = [Markup('<text class="axis" x="0" y="{}">{}</text>').format(TOP - 13, axis.label)]
    for tick in ticks:
        at = _n(scale(tick))
        parts.append(
            Markup(
                '<path class="grid" d="M{} {}H{}"/><text class="tick end" x="{}" y="{}" dy=".32em">{}</text>'
            ).format(LEFT, at, width - RIGHT, LEFT - 6, at, axis.write(tick))
        )
    return parts


def _x_axis(axis: Axis, ticks: Sequence[float], scale: _Scale, width: int, height: int) -> list[Markup]:
    base = height - BOTTOM
    parts = [Markup('<path class="base" d="M{} {}H{}"/>').format(LEFT, base, width - RIGHT)]
    for tick in ticks:
        parts.append(
            Markup('<text class="tick middle" x="{}" y="{}">{}</text>').format(
                _n(scale(tick)), base + 19, axis.write(tick)
            )
        )
    label = Markup('<text class="axis end" x="{}" y="{}">{}</text>').format(width - RIGHT, height - 6, axis.label)
    return [*parts, label]


def _reference(value: float, label: str, scale: _Scale, width: int) -> tuple[Markup, Markup]:
    at = _n(scale(value))
    return (
        Markup('<path class="reference" d="M{} {}H{}"/>').format(LEFT, at, width - RIGHT),
        Markup('<text class="axis end" x="{}" y="{}" dy="-.4em">{}</text>').format(width - RIGHT, at, label),
    )


def _line(series: Series, points: Sequence[Point], x_scale: _Scale, y_scale: _Scale) -> Markup:
    path = "L".join(f"{_n(x_scale(x))} {_n(y_scale(y))}" for x, y in points)
    return Markup('<path class="line s-{}" d="M{}"/>').format(series.style, path)


def _dot(series: Series, point: Point, x: Axis, y: Axis, x_scale: _Scale, y_scale: _Scale) -> Markup:
    text = f"{series.name}: {y.write(point[1])} at {x.write(point[0])}"
    return Markup('<circle class="dot s-{}" cx="{}" cy="{}" r="3.4"><title>{}</title></circle>').format(
        series.style, _n(x_scale(point[0])), _n(y_scale(point[1])), text
    )


def style_of(training_set: str) -> str:
    """The CSS class of a training set; one the page has no colour for is drawn like an unnamed other."""
    return training_set if training_set in STYLES else "other"


def percent(value: float) -> str:
    """0.934 as ``93.4 %``, without digits that say nothing."""
    return f"{value * 100:.{2 if value < 0.1 else 3}g}\N{NO-BREAK SPACE}%"


def swatch(style: str) -> Markup:
    """A short piece of a line, for a legend."""
    return Markup(
        '<svg class="swatch" viewBox="0 0 26 8" aria-hidden="true"><path class="line s-{}" d="M1 4H25"/></svg>'
    ).format(style)


def _n(value: float) -> str:
    """A coordinate, short and without a negative zero."""
    return f"{value + 0.0:.1f}".removesuffix(".0")
