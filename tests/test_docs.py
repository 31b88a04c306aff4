"""docs/ says what the code does: every setting with its default, every stage, no link that leads nowhere."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from dconrec_core.condensation import CONDENSERS
from dconrec_core.data import DATASETS
from dconrec_core.models import MODELS
from dconrec_core.registry import Entry
from flows.stages import STAGES
from tasks.params import OF_NO_STAGE, PipelineParams

ROOT = Path(__file__).parents[1]
PARAMS = (ROOT / "docs/params.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
REGISTRIES = {"Datasets": DATASETS, "Models": MODELS, "Condensers": CONDENSERS}
ENTRIES = [(heading, name) for heading, registry in REGISTRIES.items() for name in registry]


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted key and default of every setting, as the documentation writes them."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, f"{prefix}{name}.")
        elif field.is_required():
            yield f"{prefix}{name}", "required"
        else:
            yield f"{prefix}{name}", f"`{written(field.get_default(call_default_factory=True))}`"


def own_settings(config: type[BaseModel], registry: Mapping[str, Entry[Any]]) -> Iterator[tuple[str, str]]:
    """The settings of ``config``; of a variant of another registered thing only those that differ."""
    parents = [entry.config_class for entry in registry.values() if entry.config_class in config.__bases__]
    inherited = set(settings(parents[0])) if parents else set()
    return (setting for setting in settings(config) if setting not in inherited)


def written(value: Any) -> str:
    assert value is not PydanticUndefined
    return str(value) if isinstance(value, str | Path) else json.dumps(value)


def documented(text: str) -> list[tuple[str, str]]:
    """First two columns of the tables in ``text``."""
    return re.findall(r"^\| `([^`]+)` \| (.+?) \| \S.* \|$", text, flags=re.M)


def section(heading: str, within: str = PARAMS) -> str:
    """What stands below a heading, up to the next of its rank or above."""
    rank = heading.index(" ")
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{rank}}} |\Z)", within, flags=re.M | re.S)
    assert found, f"docs/params.md has no heading {heading!r}"
    return found[1]


def test_every_key_of_params_yaml_is_explained_with_its_default():
    assert documented(section("## Keys")) == list(settings(PipelineParams))


@pytest.mark.parametrize(("heading", "name"), ENTRIES)
def test_every_setting_of_a_registered_thing_is_explained_with_its_default(heading: str, name: str):
    explained = documented(section(f"### `{name}`", section(f"## {heading}")))
    expected = dict(own_settings(REGISTRIES[heading][name].config_class, REGISTRIES[heading]))
    assert dict(explained) == expected
    assert len(explained) == len(expected)


@pytest.mark.parametrize("heading", REGISTRIES)
def test_no_section_for_something_that_is_not_registered(heading: str):
    assert re.findall(r"^### `(.+)`$", section(f"## {heading}"), flags=re.M) == list(REGISTRIES[heading])


def test_architecture_lists_the_stages_with_their_params():
    rows = re.findall(r"^\| `([^`]+)` \| .+ \| (.+?) \|$", section("## Stages", ARCHITECTURE), flags=re.M)
    every = tuple(key for key in PipelineParams.model_fields if key not in OF_NO_STAGE)

    def params(stage: Any) -> str:
        if set(stage.params) == set(every):
            return "all"
        return ", ".join(f"`{key}`" for key in stage.params) or "–"

    assert rows == [(stage.name, params(stage)) for stage in STAGES]


def test_architecture_draws_every_stage():
    figure = re.search(r"```mermaid(.*?)```", ARCHITECTURE, flags=re.S)[1]
    for stage in STAGES:
        assert re.search(rf"\b{stage.name}\b", figure), f"{stage.name} is not in the figure"


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, flags=re.M)
    }
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, f"{page.name} has no heading for {target}"
        elif "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"
