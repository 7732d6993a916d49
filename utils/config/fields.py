"""Fields of typed configurations, each declared in one line, and one line for a value that does not fit its field."""

import types
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from utils.config.suggestions import did_you_mean
from utils.errors import ConfigError

MAX_SEED = 2**32 - 1  # of numpy's generators
WORDS = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path", type(None): "null",
}  # fmt: skip


class Section(BaseModel):
    """A section of a configuration: frozen, without unknown keys, and no value is converted to another kind.

    Attributes:
        key: of the section, for one that code makes by itself: what is wrong is a ConfigError then, as in a job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)
    key: ClassVar[str] = ""

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, validate_values: ModelWrapValidatorHandler[Self]) -> Self:
        if not cls.key:
            return validate_values(values)
        try:
            return validate_values(values)
        except ValidationError as error:
            raise ConfigError(explain(error, cls, cls.key)) from error


SomeSection = TypeVar("SomeSection", bound=Section)
Uses = Mapping[str, tuple[str, ...]]  # what settings may depend on -> uses of the script in which they have an effect


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    example: Any = None,
    only_with: Uses | None = None,
    texts: tuple[str, ...] = (),
) -> Any:
    """Declare a key: its default, what it is and what is allowed.

    Args:
        default: `...` where a configuration group gives it; ${key} where it follows another key.
        description: for --help and the reference, without default, unit and range.
        unit: of the value, where the name does not have it.
        ge: lowest value allowed.
        le: highest value allowed.
        example: what to type instead of a wrong value; the default unless given.
        only_with: uses of the script in which it has an effect, see Job.uses; None for all.
        texts: of an object that a group chooses, the arguments that are one text or path.
    """
    extra: Any = {"unit": unit, "example": example, "only_with": only_with or {}, "texts": texts}
    return Field(default, description=description, ge=ge, le=le, json_schema_extra=extra)


def section(*, only_with: Uses | None = None) -> Any:
    """Declare a section whose keys have an effect only in some uses of the script."""
    extra: Any = {"only_with": only_with or {}}
    return Field(..., json_schema_extra=extra)


def unit_of(field: FieldInfo) -> str:
    """Return the unit of a field's value, where its name does not have it."""
    extra: Any = field.json_schema_extra or {}
    return str(extra.get("unit", ""))


def uses_of(field: FieldInfo) -> Uses:
    """Return the uses of the script in which a field has an effect; empty for all."""
    extra: Any = field.json_schema_extra or {}
    found: Uses = extra.get("only_with", {})
    return found


def _as_text(value: Any) -> Any:
    """A name such as 2024 is read as a number by Hydra; numbers are texts, too."""
    if isinstance(value, str) and not (value.strip() and is_utf8(value)):
        raise ValueError("an empty text, or none")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_path(value: Any) -> Any:
    # names of files may have bytes that are no UTF-8
    text = value if isinstance(value, str) and value.strip() else _as_text(value)
    return Path(text).expanduser() if isinstance(text, str) else value


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8; a command line in another encoding gives some that cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _blank_as_null(value: Any) -> Any:
    """`run.name=` in a shell script whose variable is empty says nothing."""
    return None if isinstance(value, str) and not value.strip() else value


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def one_as_tuple(value: Any) -> Any:
    """Return a list typed without brackets, of one value, as a tuple too."""
    return as_tuple(value) if isinstance(value, list | tuple) else (value,)


def _fraction_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, float) else value


class OneOrMore:
    """Marks a list that may be typed without brackets where it has one value."""


class OneText:
    """Marks a value that is one text or path: whatever characters it has, it is taken as it is typed."""


class OneTextOrNumber(OneText):
    """Marks such a value that is a number where it looks like a whole one."""


Number = int | float  # as it was typed: hashes of stored values tell 60 from 60.0
Text = Annotated[str, BeforeValidator(_as_text), OneText]
FilePath = Annotated[Path, BeforeValidator(_as_path), PlainSerializer(str), OneText]
OptionalText = Annotated[Text | None, BeforeValidator(_blank_as_null), OneText]
OptionalPath = Annotated[FilePath | None, BeforeValidator(_blank_as_null), OneText]
# a name such as 2.5 is read as a number
NameOrNumber = Annotated[str | int, BeforeValidator(_fraction_as_text), OneTextOrNumber]
WholeNumbers = Annotated[tuple[int, ...], BeforeValidator(one_as_tuple), OneOrMore]
Texts = Annotated[tuple[Text, ...], BeforeValidator(one_as_tuple), OneOrMore]


def text_keys(section: type[Section]) -> Iterator[tuple[str, type[OneText]]]:
    """Yield the keys whose value is one text or path, each with its kind."""
    for key, field in fields_of(section):
        extra: Any = field.json_schema_extra or {}
        yield from ((f"{key}.{text}", OneText) for text in extra.get("texts", ()))
        kind = _kind_of_text(field.annotation, field.metadata)
        if kind is not None:
            yield key, kind


def fields_of(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the keys of a section and of those inside it, each with its field."""
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is None:
            yield f"{prefix}{name}", field
        else:
            yield from fields_of(inner, f"{prefix}{name}.")


def _kind_of_text(annotation: Any, marks: Collection[Any] = ()) -> type[OneText] | None:
    """Return how a value is a text; None if it may be something else."""
    if get_origin(annotation) is Annotated:
        annotation, *own = get_args(annotation)
        marks = [*marks, *own]
    found = [mark for mark in marks if isinstance(mark, type) and issubclass(mark, OneText)]
    if found:
        return found[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return None
    kinds = {_kind_of_text(member) for member in get_args(annotation) if member is not type(None)}
    return kinds.pop() if len(kinds) == 1 else None


def validate(model: type[SomeSection], values: Mapping[str, Any], key: str = "") -> SomeSection:
    """Build a section of plain data.

    Args:
        model: the section.
        values: of its keys.
        key: of the section, for messages; empty for all of a configuration.
    Raises:
        ConfigError: one line that names the key, its value and what is allowed.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(explain(error, model, key)) from error


def defaults_of(section: type[Section]) -> dict[str, Any]:
    """Return the defaults of a section's keys as plain data; those that a configuration group gives are left out."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            nested = defaults_of(inner)
            found |= {name: nested} if nested else {}
        elif not field.is_required() and not is_chosen(field):
            found[name] = deepcopy(field.default)
    return found


def is_chosen(field: FieldInfo) -> bool:
    """Whether a field holds an object that a configuration group chooses by `_target_`."""
    return any(part.__name__ == "Pluggable" for part in _parts(field.annotation) if isinstance(part, type))


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """Return one line for the first thing that is wrong: key, value, what is allowed."""
    first = error.errors(include_url=False)[0]
    key, field, section = _place(model, first["loc"])
    key = f"{prefix}.{key}" if prefix else key
    if first["type"] == "extra_forbidden":
        parent = key.rpartition(".")[0]
        where = f"allowed in {parent}" if parent else "allowed"
        meant = did_you_mean(key.rpartition(".")[2], section.model_fields)
        return f"{key} is no key; {where}: {', '.join(sorted(section.model_fields))}{meant}"
    if first["type"] == "missing" or field is None:
        return f"{key} is missing"
    value = first["input"]
    if first["type"] in ("greater_than_equal", "less_than_equal"):
        return f"{key}={value:g} is out of range; allowed: {allowed_range(field)}"
    if isinstance(value, str) and not is_utf8(value):
        return f"{key}={value} has bytes that are no UTF-8; type it in a terminal with that encoding"
    choices = choices_of(field.annotation)
    if choices:
        return f"{key}={shown(value)} is unknown; allowed: {', '.join(choices)}"
    example = example_of(field)
    hint = f", for example {example}" if example else ""
    inner = section_of(field)
    keys = f", such as {', '.join(f'{key}.{name}' for name in list(inner.model_fields)[:3])}" if inner else ""
    return f"{key}={shown(value)} must be {wording(field.annotation)}{keys}{hint}"


def shown(value: Any) -> str:
    """Return a value as a user types it."""
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if _is_plain(value) else str(value)


def example_of(field: FieldInfo) -> str:
    """Return what to type for a field: its example or its default; empty where it has none."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    value = extra.get("example")
    if value is None and not field.is_required():
        value = field.default
    is_other = value is None or (isinstance(value, str) and value.startswith("${"))
    return "" if is_other else shown(value)


def allowed_range(field: FieldInfo) -> str:
    """Return "at least 1" or "between 0 and 1"; empty for a field without bounds."""
    marks = [*field.metadata, *_marks_of_elements(field.annotation)]
    low = next((item.ge for item in marks if getattr(item, "ge", None) is not None), None)
    high = next((item.le for item in marks if getattr(item, "le", None) is not None), None)
    if low is not None and high is not None:
        return f"between {_figure(low)} and {_figure(high)}"
    return f"at least {_figure(low)}" if low is not None else f"at most {_figure(high)}" if high is not None else ""


def _marks_of_elements(annotation: Any) -> list[Any]:
    """Return the bounds of the elements of a list."""
    elements = [get_args(part)[0] for part in _parts(annotation) if get_origin(part) is tuple]
    marks = [mark for element in elements if get_origin(element) is Annotated for mark in get_args(element)[1:]]
    return [item for mark in marks for item in getattr(mark, "metadata", [mark])]


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def choices_of(annotation: Any) -> list[str]:
    """Return the words of a Literal, or a list of them, with null where it may be left out; empty for other kinds."""
    parts = [get_args(part)[0] if get_origin(part) is tuple else part for part in _parts(annotation)]
    words = [str(word) for part in parts if get_origin(part) is Literal for word in get_args(part)]
    is_closed = all(get_origin(part) is Literal or part is type(None) for part in parts)
    return [*dict.fromkeys(words), *(["null"] if type(None) in parts else [])] if is_closed and words else []


def wording(annotation: Any) -> str:
    """Return the words for a kind of value: "a whole number or null"."""
    parts = _parts(annotation)
    words = [_words_of(part) for part in parts if not (part is int and float in parts)]
    return " or ".join(dict.fromkeys(words))


def _words_of(part: Any) -> str:
    origin, arguments = get_origin(part), get_args(part)
    if origin is Literal:
        return ", ".join(str(word) for word in arguments)
    if origin in (list, tuple):
        return f"a list of {wording(arguments[0]).removeprefix('a ')}s"
    return WORDS.get(part, "a section of keys")


def _parts(annotation: Any) -> list[Any]:
    """Return the members of a union, without what annotates them; a list without brackets is one, too."""
    if get_origin(annotation) is Annotated:
        bare, *marks = get_args(annotation)
        return [*_parts(get_args(bare)[0]), bare] if OneOrMore in marks else _parts(bare)
    if get_origin(annotation) in (Union, types.UnionType):
        return [item for member in get_args(annotation) for item in _parts(member)]
    return [annotation]


def section_of(field: FieldInfo) -> type[Section] | None:
    """Return the section that a field holds; None for a value."""
    found = [part for part in _parts(field.annotation) if isinstance(part, type) and issubclass(part, Section)]
    return found[0] if found else None


def _place(model: type[BaseModel], place: tuple[int | str, ...]) -> tuple[str, FieldInfo | None, type[BaseModel]]:
    """Return key, field and section of an error; what lies inside a value belongs to its key."""
    names: list[str] = []
    section, field = model, None
    for part in place:
        names.append(str(part))
        field = section.model_fields.get(str(part))
        inner = section_of(field) if field else None
        if inner is None:
            break
        section = inner
    return ".".join(names), field, section


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)
