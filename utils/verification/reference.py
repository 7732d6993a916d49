"""The PyTorch side of a graph, for rules that compare the two. Holds functions of arrays: imports no torch."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field

import numpy as np

from utils.verification.measures import relative_db
from utils.verification.voices import Said, Voice
from utils.voice_file.controls import SPEAKER_CONTROLS, Control, ControlDefaults, controls_with
from utils.voice_file.metadata import VoiceMetadata

PARITY_DB = -80.0
OWN_CHANGE_MARGIN_DB = 10.0  # a runtime rounds not once but in every operator
FILTER_BITS = np.float32(4)
NUM_SHAKES = 3
WORST_PARITY_DB = -50.0  # whatever the voice does with the last bit

Conversion = Callable[[np.ndarray], np.ndarray]
Shaken = Callable[[int], AbstractContextManager[None]]
Feed = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The voice that a graph was made from.

    Attributes:
        convert: what it makes of [B, T] with given values of the controls; of a stream, of [1, T] in one piece.
        defaults: values that the controls of the graph must have by themselves.
        sample_rate: of the graph's input and output.
        num_speakers: voices inside the graph.
        idle_controls: names of those that the voice gives nothing to act on.
        special_controls: names of those that it has beside those of every voice.
        parity_db: largest allowed difference of the graph, relative to its level.
        recordings: [T] excerpts of real recordings at the graph's rate, tried beside the synthetic ones.
        shaken: while it lasts, each weight of the voice is off by its last bit, up or down by a seed.
    """

    convert: Callable[[np.ndarray, ControlDefaults], np.ndarray]
    defaults: ControlDefaults
    sample_rate: int
    num_speakers: int
    idle_controls: frozenset[str]
    special_controls: frozenset[str] = frozenset()
    parity_db: float = PARITY_DB
    recordings: tuple[np.ndarray, ...] = ()
    shaken: Shaken | None = None
    _kept: dict[tuple[object, ...], Said] = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, controls: ControlDefaults) -> Conversion:
        """Return the conversion with these values of the controls."""
        return lambda audio: self.convert(audio, controls)

    def voice(self, metadata: VoiceMetadata | None) -> Voice:
        """Return the PyTorch side as a voice that speaks; of a stream, with the blocks and the delay that it states."""

        def convert(audio: np.ndarray, controls: Mapping[str, float]) -> np.ndarray:
            values = asdict(self.defaults) | dict(controls)
            for name in SPEAKER_CONTROLS & controls.keys():  # as the graph takes it
                values[name] = min(max(int(controls[name]), 0), self.num_speakers - 1)
            made: np.ndarray = self.convert(audio[None], ControlDefaults(**values))[0]
            return made

        stream = metadata.extra.get("stream", {}) if metadata is not None else {}
        return Voice(
            sample_rate=self.sample_rate,
            convert=convert,
            controls=frozenset(control.name for control in self.controls),
            block=stream.get("block", 1),
            look_ahead=stream.get("look_ahead", 0),
            metadata=metadata,
            kept=self._kept,
        )

    @property
    def controls(self) -> tuple[Control, ...]:
        """What the graph takes beside the audio."""
        return controls_with(self.special_controls)

    @property
    def plain(self) -> Conversion:
        """The conversion with the defaults."""
        return self.at(self.defaults)

    def own_change_db(self, audio: np.ndarray, controls: ControlDefaults | None = None) -> float:
        """Return how far the voice is from itself when the last bit of the samples [B, T] or of its weights changes.

        A graph holds weights that were folded into others, so each may be off by its last bit. What a voice predicts,
        such as the pitch of automatic_f0, may depend on that more than on its input.
        """
        return own_change_db(self.at(controls or self.defaults), audio, self.shaken)


@dataclass(frozen=True, kw_only=True)
class GeneratorReference:
    """The RVC generator that a graph was made from.

    Attributes:
        convert: what it makes of a feed of the graph.
        parity_db: largest allowed difference of the graph, relative to its level.
    """

    convert: Callable[[Feed], np.ndarray]
    parity_db: float = PARITY_DB


def own_change_db(conversion: Conversion, audio: np.ndarray, shaken: Shaken | None = None) -> float:
    """Return how far a conversion is from itself when the last bit of the samples [B, T], or of its weights, changes.

    It is each sample's own last bit, and then FILTER_BITS of the largest sample's in all of them: so much a resampler
    or a filter at the input rounds, which sums a hundred products and more, in a graph in another order than PyTorch.
    On sounds that no voice makes, such as a square, and in a voice that has learnt nothing yet, that may become more
    than PARITY_DB, for the phase of a pitch sums what is off in its frames; then no runtime can be nearer to PyTorch.
    """
    plain = conversion(audio)
    finite = np.isfinite(audio)
    bit = FILTER_BITS * np.spacing(np.abs(np.where(finite, audio, 0)).max(initial=0).astype(np.float32))
    differences = []
    for seed in range(NUM_SHAKES):
        sign = np.where(np.random.default_rng(seed).random(audio.shape) < 0.5, np.float32(1), np.float32(-1))
        for near in (np.nextafter(audio, sign * np.float32(np.inf)), audio + sign * bit):
            differences.append(relative_db(conversion(np.where(finite, near, audio)), plain))
        if shaken is not None:
            with shaken(seed):
                differences.append(relative_db(conversion(audio), plain))
    return max(differences)


def limit_of_parity_db(limit_db: float, own_db: float) -> float:
    """Return the largest allowed difference from PyTorch for an input that moves the voice itself by own_db.

    A limit below the usual one was asked for on purpose and is taken literally.
    """
    if limit_db < PARITY_DB - 1e-6:
        return limit_db
    return max(limit_db, min(own_db + OWN_CHANGE_MARGIN_DB, WORST_PARITY_DB))
