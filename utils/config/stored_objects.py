"""Objects that files name: only classes of this workbench, and of packages that the user trusts, are ever built."""

import importlib
import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from utils.config.places import CONFIG_FOLDER
from utils.config.plain_data import first_line, require_plain, shown
from utils.config.pluggable import TARGET
from utils.config.renamed import current_target
from utils.config.stored_text import INTERPOLATION
from utils.errors import ConfigError, FormatError, WorkbenchError

# classes of ours that no file in configs/ names: they are typed
FURTHER = {"content": frozenset({"recipes.content_encoder.teacher_content.TeacherContent"})}
EVERY_KIND = ""
MAX_DEPTH, MAX_VALUES, MAX_CHARACTERS = 8, 2000, 4096
NETWORK_PLACES = ("\\\\", "//")
# where the optimizers, schedules and loggers stand that somebody may have chosen; nothing builds them for a file
_LIBRARIES = re.compile(r"(torch\.optim(\.lr_scheduler)?|pytorch_lightning\.loggers)\.[A-Za-z_]\w*", re.ASCII)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
# what a constructor raises for arguments that do not fit it
_REFUSALS = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError, AssertionError, OSError)


@dataclass(frozen=True)
class StoredObject:
    """A class and its arguments, as a file names them, checked; make it with `of`.

    Attributes:
        target: dotted path of the class.
        arguments: plain data; sections with a `_target_` inside are such objects too.
        kind: configuration group whose classes are allowed.
        source: the file, for messages.
        trust: packages, modules or classes that the user trusts besides.
    """

    target: str
    arguments: Mapping[str, Any]
    kind: str
    source: str
    trust: tuple[str, ...] = ()

    @classmethod
    def of(cls, node: Any, kind: str, source: str, trust: Collection[str] = ()) -> "StoredObject":
        """Check plain data such as {_target_: models.toy.ToyVoice, channels: 32}; nothing is imported.

        Args:
            node: the data.
            kind: model, content or pitch.
            source: the file, for messages.
            trust: packages, modules or classes, see require_trust.
        Raises:
            FormatError: if it is no such data, or names a class that is neither ours nor trusted.
        """
        trusted = require_trust(trust)
        what = f"{source}: {kind}"
        require_plain(node, what, max_depth=MAX_DEPTH, max_values=MAX_VALUES)
        if not isinstance(node, dict) or not isinstance(node.get(TARGET), str):
            raise FormatError(
                f"{what} must be a section of keys with {TARGET}, the path of a class; get the file again"
            )
        _require_known(node, kind, what, trusted)
        return cls._checked(node, kind, source, trusted)

    @classmethod
    def _checked(cls, node: Mapping[str, Any], kind: str, source: str, trust: tuple[str, ...]) -> "StoredObject":
        def inner(value: Any) -> Any:
            if isinstance(value, dict):
                if TARGET in value:
                    return cls._checked(value, kind, source, trust)
                return {key: inner(item) for key, item in value.items()}
            return [inner(item) for item in value] if isinstance(value, list) else value

        arguments = {name: inner(value) for name, value in node.items() if name != TARGET}
        return cls(current_target(node[TARGET]), arguments, kind, source, trust)

    def build(self, base: type, **values: Any) -> Any:
        """Build the object, with further arguments from the program.

        Args:
            base: class or protocol that it must have.
            values: further arguments.
        Raises:
            ConfigError: in one line, if the class is not there or refuses an argument.
            FormatError: if it is none of its kind.
        """
        maker = self._resolve()
        if isinstance(maker, type) and not getattr(base, "_is_protocol", False) and not issubclass(maker, base):
            raise FormatError(f"{self.source}: {self.kind}.{TARGET}={self.target} is no {base.__name__}")
        try:
            built = maker(**{name: _built(value, base) for name, value in self.arguments.items()}, **values)
        except WorkbenchError:
            raise
        except (*_REFUSALS, MemoryError) as error:
            raise ConfigError(f"{self.source}: {self.kind} cannot be built ({first_line(error)})") from error
        if not isinstance(built, base):
            raise FormatError(f"{self.source}: {self.kind}.{TARGET}={self.target} gives no {base.__name__}")
        return built

    def _resolve(self) -> Any:
        """Return the class, or the function that makes one: defined in a module that may be imported, by its name."""
        module, _, name = self.target.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{self.source}: {self.kind}.{TARGET}={self.target} is not here ({first_line(error)}); install the "
                "package that has it"
            ) from error
        home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
        if not callable(found) or not is_known(home, self.kind, self.trust):
            raise FormatError(
                f"{self.source}: {self.kind}.{TARGET}={self.target} is {shown(home)}, no class of this workbench or of "
                "what trust= names; nothing was built"
            )
        return found


def is_known(target: str, kind: str, trust: Collection[str] = ()) -> bool:
    """Return whether a class may be built for a file: one of ours by its exact path, or one of a trusted package."""
    if kind == EVERY_KIND and _LIBRARIES.fullmatch(target):
        return True
    return target in known_targets(kind) or any(target == item or target.startswith(f"{item}.") for item in trust)


@cache
def known_targets(kind: str) -> frozenset[str]:
    """Return the classes of ours of a kind: those that the files of the configuration group name; see EVERY_KIND."""
    found: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            found.update(value for key, value in node.items() if key == TARGET and isinstance(value, str))
            for value in node.values():
                collect(value)

    for path in sorted((CONFIG_FOLDER / kind).rglob("*.yaml")):
        collect(yaml.safe_load(path.read_text(encoding="utf-8")))
    return frozenset(found).union(*(further for group, further in FURTHER.items() if kind in (group, EVERY_KIND)))


def require_known_targets(config: Any, source: str, trust: Collection[str] = ()) -> None:
    """Refuse a stored configuration that names a foreign class, also in sections from which nothing is built.

    Args:
        config: plain data of limited depth.
        source: words for it, for messages.
        trust: packages, modules or classes, see require_trust.
    Raises:
        FormatError: in one line, if a class is neither of this workbench, of the libraries it trains with, nor trusted.
    """
    trusted, stack = require_trust(trust), [config]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                if str(key).rpartition(".")[2] == TARGET and value is not None:
                    _require_known_target(value, EVERY_KIND, source, trusted)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def require_trust(trust: Collection[str]) -> tuple[str, ...]:
    """Return what a user trusts, checked.

    Raises:
        ConfigError: if an item is no package, module or class, or a part of Python itself.
    """
    for item in trust:
        if not _DOTTED.fullmatch(item):
            raise ConfigError(f"trust={shown(item)} must be packages, modules or classes, such as trust=[my_package]")
        if item.partition(".")[0] in (*sys.stdlib_module_names, "__main__"):
            raise ConfigError(f"trust={item} is a part of Python, which holds no voice; name the package of the class")
    return tuple(trust)


def _require_known(node: Any, kind: str, what: str, trust: tuple[str, ...]) -> None:
    """Refuse foreign classes, keys that steer how objects are made, and texts that lead elsewhere, however deep."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                if key == TARGET:
                    _require_known_target(value, kind, what, trust)
                elif not isinstance(key, str) or (key.startswith("_") and key.endswith("_")):
                    raise FormatError(f"{what} holds the key {shown(str(key))}, which no stored object has")
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str):
            _require_harmless(item, what)


def _require_known_target(value: Any, kind: str, what: str, trust: tuple[str, ...]) -> None:
    if isinstance(value, str) and _DOTTED.fullmatch(value) and is_known(current_target(value), kind, trust):
        return
    raise FormatError(
        f"{what} names {TARGET}={shown(value)}, no class of this workbench; nothing of it was imported or run. If it "
        "is a class of your own, name its package: trust=[my_package]"
    )


def _require_harmless(text: str, what: str) -> None:
    if INTERPOLATION in text:
        raise FormatError(f"{what} holds an interpolation ({INTERPOLATION}...); nothing was resolved")
    if len(text) > MAX_CHARACTERS or "\0" in text:
        raise FormatError(f"{what} holds a text of {len(text)} characters or with zero bytes; it was not used")
    if os.name == "nt" and text.startswith(NETWORK_PLACES):
        raise FormatError(f"{what} names a place on the network; it was not opened")


def _built(value: Any, base: type) -> Any:
    if isinstance(value, StoredObject):
        return value.build(base)
    if isinstance(value, dict):
        return {key: _built(item, base) for key, item in value.items()}
    return [_built(item, base) for item in value] if isinstance(value, list) else value
