"""Templates to pages that need nothing else to be read: how a number is written, the same on every page."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dconrec_core.plain import plain
from tasks.figures import percent, style_of, swatch
from tasks.summary import MODEL_LABELS


def render_page(template: str, context: Mapping[str, Any]) -> str:
    """The page that a template of this folder makes of ``context``; all text is escaped, a missing name is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(swatch=swatch, style_of=style_of)
    environment.filters.update(
        count=_or_dash("{:,.0f}".format),
        metric=_or_dash("{:.4f}".format),
        percent=_or_dash(percent),
        percent1=_or_dash(lambda value: f"{value * 100:.1f}\N{NO-BREAK SPACE}%"),
        seconds=_or_dash(_seconds),
        times=_or_dash(lambda value: f"{value:.1f}\N{NO-BREAK SPACE}×"),
        break_even=_or_dash(lambda value: "never" if math.isinf(value) else f"{value:,.1f}"),
        plain=plain,
        model=lambda name: MODEL_LABELS.get(name, name),
    )
    return environment.get_template(template).render(context)


def _or_dash(write: Any) -> Any:
    return lambda value: "–" if value is None else write(value)


def _seconds(value: float) -> str:
    return f"{value:.2f}\N{NO-BREAK SPACE}s" if value < 10 else f"{value:,.0f}\N{NO-BREAK SPACE}s"
