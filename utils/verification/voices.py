"""A voice as the rules hear it, whether it is a graph, a stream or the PyTorch side of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from utils.verification.listening import Heard
from utils.verification.utterances import SENTENCES, SPEECH_DB, Utterance, utterance
from utils.voice_file.metadata import VoiceMetadata

SPEAKS_DB = -22.0  # a frame so far above or below the mean level of the speech belongs to it
NUM_SENTENCES = len(SENTENCES)
Convert = Callable[[np.ndarray, Mapping[str, float]], np.ndarray]


@dataclass(frozen=True)
class Said:
    """An utterance and what a voice made of it.

    Attributes:
        utterance: what went in.
        source: it as it is heard.
        made: what came out as it is heard, its delay taken away.
    """

    utterance: Utterance
    source: Heard
    made: Heard

    @property
    def num_frames(self) -> int:
        """F, frames of 10 ms of both."""
        return min(self.source.num_frames, self.made.num_frames, len(self.utterance.f0_hz))

    @property
    def is_speech(self) -> np.ndarray:
        """[F] whether somebody speaks."""
        levels = self.source.level_db[: self.num_frames]
        speaks: np.ndarray = levels > 10 * np.log10(np.mean(10 ** (levels / 10))) + SPEAKS_DB
        return speaks

    @property
    def is_pause(self) -> np.ndarray:
        """[F] whether it is a pause."""
        return self.utterance.is_pause[: self.num_frames]

    @property
    def is_noisy(self) -> np.ndarray:
        """[F] whether there is the noise of a fricative alone."""
        return self.utterance.is_noisy[: self.num_frames]

    @property
    def f0_hz(self) -> np.ndarray:
        """[F] of the utterance."""
        return self.utterance.f0_hz[: self.num_frames]

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the levels [F] of source and result in dB."""
        return self.source.level_db[: self.num_frames], self.made.level_db[: self.num_frames]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What converts audio.

    Attributes:
        sample_rate: in and out.
        convert: from [T] and values of controls to [T]; T a multiple of `block`.
        controls: names of those that it has.
        block: samples of a block; 1 where any length does.
        look_ahead: samples by which its output is behind.
        metadata: what the file says of itself.
        kept: what it has said so far; voices that convert alike may share it.
    """

    sample_rate: int
    convert: Convert
    controls: frozenset[str] = frozenset()
    block: int = 1
    look_ahead: int = 0
    metadata: VoiceMetadata | None = None
    kept: dict[tuple[object, ...], Said] = field(default_factory=dict, repr=False, compare=False)

    @property
    def lags(self) -> range:
        """Frames of 10 ms by which words and melody may be behind the level; a stream hears its words later than it."""
        return range(-1, 2) if self.block == 1 else range(-1, 6)

    def answer(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return [T] for [T] of any length, without the delay of the voice."""
        count = len(audio)
        padded = np.pad(audio, (0, self.look_ahead + -(count + self.look_ahead) % self.block)).astype(np.float32)
        given = {name: value for name, value in (controls or {}).items() if name in self.controls}
        made: np.ndarray = self.convert(padded, given)[self.look_ahead : self.look_ahead + count]
        return made

    def said(
        self,
        number: int = 0,
        num_sentences: int = NUM_SENTENCES,
        *,
        speech_db: float = SPEECH_DB,
        octaves: float = 0.0,
        **controls: float,
    ) -> Said:
        """Return an utterance and what the voice makes of it; each is converted once.

        Controls that have their stated defaults are left out: that this is the same is a rule of its own.
        """
        stated = self.metadata.control_defaults if self.metadata is not None else {}
        controls = {name: value for name, value in controls.items() if name not in stated or value != stated[name]}
        present = {name: value for name, value in controls.items() if name in self.controls}
        key = (number, num_sentences, speech_db, octaves, *sorted(present.items()))
        if key not in self.kept:
            speech = utterance(self.sample_rate, number, num_sentences, octaves)
            given = speech.at(speech_db)
            heard = (Heard(samples, self.sample_rate) for samples in (given, self.answer(given, present)))
            self.kept[key] = Said(speech, *heard)
        return self.kept[key]

    @property
    def pitch_step(self) -> int | None:
        """Semitones of which an automatic pitch_shift is a multiple, where the file states that it is the default."""
        return self.metadata.pitch_step if self.metadata is not None else None

    @property
    def unmoved(self) -> dict[str, float]:
        """Controls under which the pitch moves by what a caller asks for alone; none are needed but for automatic."""
        return {"pitch_shift": 0.0} if self.pitch_step is not None else {}

    def default(self, control: str) -> float:
        """Return the value that a control has by itself."""
        return float(self.metadata.defaults.get(control, 0.0)) if self.metadata is not None else 0.0
