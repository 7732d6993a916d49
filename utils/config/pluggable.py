"""Objects that a configuration names by `_target_`; their constructor is their schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from utils.config.renamed import current_target
from utils.errors import ConfigError, WorkbenchError

TARGET, PARTIAL = "_target_", "_partial_"
# arguments of content encoders and pitch trackers that are one text or path
CONTENT_TEXTS = ("path", "weights", "name", "look_ahead")
PITCH_TEXTS = ("path", "weights", "method", "model", "tracker.weights")


@dataclass(frozen=True)
class Pluggable:
    """A class and its arguments, as a configuration group gives them; false where nothing is chosen.

    Attributes:
        target: dotted path of the class; None where nothing is chosen.
        arguments: plain data.
        is_partial: whether building gives a factory instead of the object.
        key: where it stands in the configuration, for messages.
    """

    target: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_partial: bool = False
    key: str = ""

    @classmethod
    def of(cls, node: Mapping[str, Any], key: str) -> "Pluggable":
        """Read plain data such as {_target_: models.toy.ToyVoice, channels: 32}.

        Raises:
            ConfigError: if it is no such mapping.
        """
        if not isinstance(node, Mapping) or not isinstance(node.get(TARGET), str | None):
            raise ConfigError(f"{key}={node} must be a section of keys with {TARGET}, the path of a class")
        arguments = {str(name): value for name, value in node.items() if name not in (TARGET, PARTIAL)}
        target = node.get(TARGET)
        return cls(current_target(target) if target else target, arguments, bool(node.get(PARTIAL, False)), key)

    def __bool__(self) -> bool:
        return bool(self.target)

    def to_plain(self) -> dict[str, Any]:
        """Return the node as it stands in a configuration."""
        head: dict[str, Any] = {TARGET: self.target}
        return head | ({PARTIAL: True} if self.is_partial else {}) | dict(self.arguments)

    def build(self, **values: Any) -> Any:
        """Build the object, with further arguments from the program.

        Raises:
            ConfigError: one line naming the key, if the class refuses an argument.
        """
        from hydra.errors import InstantiationException
        from hydra.utils import instantiate

        try:
            return instantiate({**self.to_plain(), "_convert_": "all"}, **values)
        except InstantiationException as error:
            cause = error.__cause__
            if isinstance(cause, WorkbenchError):
                raise cause from error
            raise ConfigError(f"{self.key}: {_one_line(error)}") from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, info: core_schema.ValidationInfo) -> "Pluggable":
            return value if isinstance(value, cls) else cls.of(value, info.field_name or "")

        return core_schema.with_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.to_plain),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "object", "properties": {TARGET: {"type": ["string", "null"]}, PARTIAL: {"type": "boolean"}}}


def _one_line(error: Exception) -> str:
    """Join the lines of Hydra's report without its bookkeeping."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("full_key"))
