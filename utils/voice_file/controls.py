"""The controls of an exported voice: optional inputs of its graph, each a scalar with a default.

CONTROLS is the one table of what every voice has, SPECIAL_CONTROLS of what the network of some adds. The graph's
signature, the defaults, the card, the documents and the tests are made from them.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from utils.errors import ConfigError


@dataclass(frozen=True)
class Control:
    """An input with a default, so that a simple runtime never sees it.

    Attributes:
        name: of the graph input.
        kind: element type, as numpy spells it.
        low: smallest value that is accepted.
        high: largest value that is accepted; of SPEAKER_CONTROLS the number of speakers lowers it.
        default: value where nobody chose another.
        trial: pair of values whose outputs must differ when the control takes effect.
        meaning: one line for cards and documents.
        idle_reason: what is true of a voice in which it does nothing; None if it always acts.
    """

    name: str
    kind: Literal["float32", "int64"]
    low: float
    high: float
    default: float
    trial: tuple[float, float]
    meaning: str
    idle_reason: str | None = None

    @property
    def is_integer(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind == "int64"

    def array(self, value: float) -> np.ndarray:
        """Return a value as the graph takes it: a scalar of the control's type."""
        return np.array(value, dtype=self.kind)


_NO_CODEBOOK = "has no codebook to take content from"
CONTROLS: tuple[Control, ...] = (
    Control(
        "pitch_shift", "float32", -36.0, 36.0, 0.0, (0.0, 7.0), "semitones added to the pitch", "is not told the pitch"
    ),
    Control("speaker_id", "int64", 0, 2**31 - 1, 0, (0, 1), "which voice of the graph speaks", "has one speaker"),
    Control(
        "index_rate", "float32", 0.0, 1.0, 0.5, (0.0, 1.0), "share of content taken from the voice's own frames",
        _NO_CODEBOOK,
    ),
    Control(
        "protect", "float32", 0.0, 0.5, 0.33, (0.0, 0.5),
        "share of index_rate in unvoiced frames; 0.5 means no protection", _NO_CODEBOOK,
    ),
    Control(
        "loudness_mix", "float32", 0.0, 1.0, 1.0, (0.0, 1.0), "1 keeps the voice's own level, 0 imposes the input's"
    ),
)  # fmt: skip
SPECIAL_CONTROLS: tuple[Control, ...] = (
    Control(
        "automatic_f0", "int64", 0, 1, 0, (0, 1), "1: the pitch that the voice predicts, for speech; 0: the input's",
        "does not predict a pitch",
    ),
    Control(
        "source_id", "int64", 0, 2**31 - 1, 0, (0, 1), "which speaker of the graph the input is of",
        "takes the speech of anybody",
    ),
)  # fmt: skip
ALL_CONTROLS = CONTROLS + SPECIAL_CONTROLS
SPEAKER_CONTROLS = frozenset({"speaker_id", "source_id"})  # the number of speakers lowers what they may be
_BY_NAME = {control.name: control for control in ALL_CONTROLS}


@dataclass(frozen=True, kw_only=True)
class ControlDefaults:
    """A value for each control, in the order of ALL_CONTROLS: what a voice does when a caller gives none.

    NaN for pitch_shift means that the graph chooses it by itself, see models.layers.automatic_pitch.

    Raises:
        ConfigError: if a value is out of range.
    """

    pitch_shift: float = _BY_NAME["pitch_shift"].default
    speaker_id: int = int(_BY_NAME["speaker_id"].default)
    index_rate: float = _BY_NAME["index_rate"].default
    protect: float = _BY_NAME["protect"].default
    loudness_mix: float = _BY_NAME["loudness_mix"].default
    automatic_f0: int = int(_BY_NAME["automatic_f0"].default)
    source_id: int = int(_BY_NAME["source_id"].default)

    def __post_init__(self) -> None:
        for control in ALL_CONTROLS:
            value = getattr(self, control.name)
            if control.name == "pitch_shift" and math.isnan(value):
                continue
            if not control.low <= value <= control.high:
                raise ConfigError(
                    f"export.defaults.{control.name}={value:g} is out of range; "
                    f"allowed: between {control.low:g} and {control.high:g}"
                )


def controls_with(special: Collection[str]) -> tuple[Control, ...]:
    """Return the controls of a voice: those of every voice, and the special ones of these names."""
    return CONTROLS + tuple(control for control in SPECIAL_CONTROLS if control.name in special)


def find_control(name: str) -> Control:
    """Return the control of a name.

    Raises:
        ConfigError: if there is none.
    """
    if name not in _BY_NAME:
        raise ConfigError(f"{name} is no control; allowed: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def control_arrays(values: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return what a graph is given for values of controls.

    Raises:
        ConfigError: if a name is no control.
    """
    return {name: find_control(name).array(value) for name, value in values.items()}


def refuse_idle_controls(values: Mapping[str, float | str], idle: Collection[str], voice: str) -> None:
    """Refuse controls that somebody set although they do nothing; 0 asks for what is so anyway.

    Args:
        values: by key, whose last part is the name of the control.
        idle: names of the controls that do nothing.
        voice: word for it in the message.
    Raises:
        ConfigError: in one line that names the key.
    """
    for key, value in values.items():
        name = key.rpartition(".")[2]
        if name in idle and value != 0:
            shown = value if isinstance(value, str) else f"{value:g}"
            control = _BY_NAME.get(name)
            reason = (control.idle_reason if control else None) or "gives it nothing to act on"
            raise ConfigError(f"{key}={shown} does nothing: {voice} {reason}; leave it out")
