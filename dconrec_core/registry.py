"""Things chosen by name in the configuration: a registry maps a name to its config class and its factory."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from dconrec_core.errors import ConfigError

PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
T = TypeVar("T")
ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """Base of every config: typed, frozen, and a key it does not know is an error.

    So is a number that is infinite or none: a config is kept as JSON, which has neither.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing: ``build(config)`` makes it."""

    config_class: type[Config]
    build: Callable[[Any], T]

    def configure(self, where: str, settings: Mapping[str, Any]) -> Any:
        """Check ``settings`` against the config class.

        Args:
            where: Path of the section in the configuration, for the message.
            settings: Keys and values as read.

        Raises:
            ConfigError: A key is unknown (the nearest valid one is offered) or a value has the wrong type or range.
        """
        try:
            return self.config_class.model_validate(dict(settings))
        except ValidationError as error:
            raise ConfigError(explain(error, where, self.config_class)) from None


def lookup(registry: Mapping[str, Entry[T]], name: str, where: str) -> Entry[T]:
    """The entry called ``name``.

    Raises:
        ConfigError: There is none; the nearest valid name is offered.
    """
    if name not in registry:
        raise ConfigError(f"{where} is {name!r}; {suggest(name, list(registry))}")
    return registry[name]


def name_of(registry: Mapping[str, Entry[Any]]) -> Callable[[str], str]:
    """Checks that a setting is a name of ``registry``, for pydantic's ``AfterValidator``."""

    def check(name: str) -> str:
        if name not in registry:
            raise PydanticCustomError("unknown_name", "{way_out}", {"way_out": suggest(name, list(registry))})
        return name

    return check


def suggest(name: str, valid: list[str]) -> str:
    """'did you mean …' where a valid name is near, and the list of them."""
    near = get_close_matches(str(name), valid, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}valid names: {', '.join(sorted(valid))}"


def explain(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """The first problem pydantic found, in one line, with the path of the key and the way out."""
    # An unknown key first: a mistyped one also shows as missing, and the typo is what the user must see.
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    path = ".".join(map(str, (*([where] if where else []), *problem["loc"])))
    if problem["type"] == "extra_forbidden":
        fields = _fields_at(model, problem["loc"][:-1])
        return f"{path} is not a setting; {suggest(str(problem['loc'][-1]), fields)}"
    if problem["type"] == "missing":
        return f"{path} is missing; add it"
    said, given = _said(problem), problem["input"]
    if isinstance(given, Mapping):  # of several keys, which it names
        return f"{path}: {said}" if path else said
    return f"{path} is {given!r}: {said}"


def _said(problem: ErrorDetails) -> str:
    """What is wrong, with the way out where pydantic's own words have none."""
    kind, given, text = problem["type"], problem["input"], problem["msg"]
    if kind == "value_error":  # our own words, which pydantic introduces
        return str(problem["ctx"]["error"])
    said = f"{text[0].lower()}{text[1:]}"
    if kind == "dict_type":
        return "it must be a mapping, such as {name: value}"
    if kind == "float_parsing" and (percent := PERCENT.fullmatch(str(given))):
        return f"{said}; write {float(percent[1]) / 100:g}"
    return said


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for key in location:
        field = model.model_fields.get(str(key))
        annotation = field.annotation if field else None
        kinds = (annotation, *get_args(annotation))  # the arguments of X | None
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)
