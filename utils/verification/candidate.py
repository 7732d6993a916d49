"""The graph under test, and the measures that several rules share."""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from utils.config import check_range
from utils.errors import FormatError
from utils.verification.live_host import NAME_DEFAULTS, LiveHost, numbers_in_name
from utils.verification.signals import speech_like
from utils.voice_file.controls import CONTROLS, Control, ControlDefaults, control_arrays
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE
from utils.voice_file.metadata import VoiceMetadata
from utils.voice_file.runtime import open_session, stored_metadata
from utils.voice_file.signature import FLOAT, INTEGER

SILENCE_PEAK = 1e-4  # -80 dB of full scale
LOUDEST_PEAK = 4.0  # of the answer to input within full scale
PARITY_DB = -80.0
OWN_CHANGE_MARGIN_DB = 10.0  # a runtime rounds not once but in every operator
WORST_PARITY_DB = -50.0  # whatever the voice does with the last bit
PARITY_FLOOR = 1e-3  # a quieter signal counts as this RMS
LONGEST_MINUTES = 60.0
MOST_BLOCKS = 1_000_000

Reference = Callable[[np.ndarray], np.ndarray]
SteeredReference = Callable[[np.ndarray, ControlDefaults], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How long the suite takes.

    Attributes:
        minutes: length of the long recording; 0 leaves it out.
        num_blocks: blocks of 100 ms over which memory must not grow; 0 leaves it out.
    Raises:
        ConfigError: if one is negative or beyond reason.
    """

    minutes: float = 10.0
    num_blocks: int = 1000

    def __post_init__(self) -> None:
        check_range("verify_minutes", self.minutes, 0, LONGEST_MINUTES)
        check_range("verify_blocks", self.num_blocks, 0, MOST_BLOCKS)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The graph under test.

    Attributes:
        path: the file.
        extent: how long the suite takes.
        reference: what the PyTorch voice makes of [B, T] with the graph's defaults; None without it.
        parity_db: largest allowed difference from the reference, relative to its level.
        steered: the same as `reference` with other values of the controls; None without it.
        idle_controls: names of those that this voice gives nothing to act on; None where nobody knows.
        recordings: [T] excerpts of real recordings at the graph's rate, tried beside the synthetic ones.
    """

    path: Path
    extent: Extent = Extent()
    reference: Reference | None = None
    parity_db: float = PARITY_DB
    steered: SteeredReference | None = None
    idle_controls: frozenset[str] | None = None
    recordings: tuple[np.ndarray, ...] = ()

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The graph, loaded from memory as hosts do that cannot follow weights in other files."""
        return open_session(self.path.read_bytes(), 1)

    @cached_property
    def host(self) -> LiveHost:
        """The re-enacted live host."""
        return LiveHost(self.session)

    @cached_property
    def controls(self) -> set[str]:
        """Names of the optional inputs."""
        return {value.name for value in self.session.get_overridable_initializers()}

    @property
    def known_controls(self) -> list[Control]:
        """The optional inputs that a graph of this workbench has."""
        return [control for control in CONTROLS if control.name in self.controls]

    @property
    def lacks_controls(self) -> list[str]:
        """What of the optional inputs of this workbench's graphs is absent or no scalar of its type."""
        found = {(value.name, value.type, len(value.shape)) for value in self.session.get_overridable_initializers()}
        return [item.name for item in CONTROLS if (item.name, INTEGER if item.is_integer else FLOAT, 0) not in found]

    @cached_property
    def metadata(self) -> VoiceMetadata | None:
        """What this workbench wrote into the graph; None for graphs of others."""
        with contextlib.suppress(FormatError):  # the rule about the name reports it
            return stored_metadata(self.session, self.path.name)
        return None

    @property
    def needs_context(self) -> bool:
        """Whether the voice's architecture is meant to be given sound around what is wanted."""
        return self.metadata is not None and self.metadata.extra.get("needs_context") is True

    @cached_property
    def sample_rate(self) -> int:
        """Rate of input and output: from the metadata, else as the live host reads it from the file name."""
        if self.metadata is not None:
            return self.metadata.sample_rate
        rate = numbers_in_name(self.path)["sr"]
        return round(rate if LOWEST_RATE <= rate <= HIGHEST_RATE else NAME_DEFAULTS["sr"])

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the first output for [B, T] float32 given to the first input, and controls if it has them.

        Raises:
            FormatError: if the output is no array of numbers.
        """
        first = self.session.get_outputs()[0]
        feed = {self.session.get_inputs()[0].name: audio} | control_feed(controls or {}, self.controls)
        output: np.ndarray = self.session.run([first.name], feed)[0]
        if not isinstance(output, np.ndarray) or output.dtype.kind not in "fiu":
            raise FormatError(f"its first output {first.name} is {first.type}, no audio")
        return output

    def own_change_db(self, audio: np.ndarray) -> float:
        """Return own_change_db of the PyTorch voice."""
        assert self.reference is not None
        return own_change_db(self.reference, audio)

    def speech(self, seconds: float, seed: int) -> np.ndarray:
        """Return [T] of synthetic speech."""
        return speech_like(self.sample_rate, round(seconds * self.sample_rate), seed)


def control_feed(controls: Mapping[str, float], present: Iterable[str]) -> dict[str, np.ndarray]:
    """Return what a graph is given for the controls that it has."""
    return control_arrays({name: value for name, value in controls.items() if name in present})


def faults(output: np.ndarray, audio: np.ndarray, *, is_sound: bool, loudest: float = LOUDEST_PEAK) -> list[str]:
    """Return what is wrong with an answer to [B, T]: shape, finiteness, level."""
    if output.shape != audio.shape:
        return [f"shape {list(output.shape)} for {list(audio.shape)}"]
    wrong = int(np.count_nonzero(~np.isfinite(output)))
    if wrong:
        return [f"{wrong} of {output.size} samples are not finite"]
    peak = float(np.abs(output).max(initial=0.0))
    within = np.isfinite(audio).all() and float(np.abs(audio).max(initial=0.0)) <= 1.0
    if within and peak > loudest:
        return [f"peak {peak:.1f} (allowed {loudest:g})"]
    return [f"silent (peak {peak:.1e}) where the input speaks"] if is_sound and peak <= SILENCE_PEAK else []


def levels(output: np.ndarray) -> str:
    """Describe RMS and peak in dB of full scale."""
    peak = float(np.abs(output).max(initial=0.0))
    rms = math.sqrt(float(np.mean(np.square(output, dtype=np.float64)))) if output.size else 0.0
    return f"RMS {decibels(rms):.1f} dB, peak {decibels(peak):.1f} dB"


def own_change_db(reference: Reference, audio: np.ndarray) -> float:
    """Return how far a PyTorch voice is from itself when the last bit of the samples [B, T] changes.

    On sounds that no voice makes, such as a square, and in a voice that has learnt nothing yet, the last bit may become
    more than PARITY_DB; then no runtime can be nearer to PyTorch than that.
    """
    plain = reference(audio)
    changes = []
    for seed in range(3):
        towards = np.where(np.random.default_rng(seed).random(audio.shape) < 0.5, np.inf, -np.inf)
        near = np.nextafter(audio, towards.astype(np.float32))
        changes.append(relative_db(reference(np.where(np.isfinite(audio), near, audio)), plain))
    return max(changes)


def limit_of_parity_db(limit_db: float, own_db: float) -> float:
    """Return the largest allowed difference from PyTorch for an input that moves the voice itself by own_db.

    A limit below the usual one was asked for on purpose and is taken literally.
    """
    if limit_db < PARITY_DB - 1e-6:
        return limit_db
    return max(limit_db, min(own_db + OWN_CHANGE_MARGIN_DB, WORST_PARITY_DB))


def relative_db(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the RMS of the difference over that of `expected` in dB: not below -200.

    Infinite for other shapes and where either is not finite everywhere, so that no comparison lets NaN pass.
    """
    if got.shape != expected.shape or not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.inf
    difference = math.sqrt(float(np.mean(np.square(got.astype(np.float64) - expected))))
    level = math.sqrt(float(np.mean(np.square(expected, dtype=np.float64))))
    return decibels(difference / max(level, PARITY_FLOOR), floor=-200.0)


def decibels(value: float, floor: float = -120.0) -> float:
    """Return an amplitude in dB; NaN and infinity stay what they are."""
    if not math.isfinite(value):
        return value
    return max(floor, 20 * math.log10(value)) if value > 0 else floor
