"""How one conversion is done, and what it tells while it works."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np

from utils.inference.errors import ConversionCancelledError, InvalidParameterError
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE

PitchShift = float | Literal["auto", "auto_octave"] | None
Channels = Literal["mix", "keep"]
PITCH_STEPS = {"auto": 1, "auto_octave": 12}


@dataclass(frozen=True)
class Progress:
    """How far a conversion is.

    Attributes:
        stage: "prepare", "pitch", "convert" or "finish"; of files also "read" and "write".
        share: of the stage, 0 to 1.
    """

    stage: str
    share: float


# returns False to stop the conversion; anything else lets it go on
ProgressCallback = Callable[[Progress], bool | None]


class ConversionKeywords(TypedDict, total=False):
    """The keywords of `convert`, for functions that pass them on; see ConversionOptions."""

    output_sample_rate: int | None
    pitch_shift_semitones: PitchShift
    f0_hz: np.ndarray | None
    speaker: str | int | None
    index_rate: float | None
    protect: float | None
    loudness_mix: float | None
    formant_shift_semitones: float
    channels: Channels


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """How a recording is converted; None leaves a control to the voice's own default.

    Attributes:
        output_sample_rate: of the result; None: that of the input, so the result has as many samples.
        pitch_shift_semitones: added to the pitch; "auto": whole semitones from the recording's median to the voice's;
            "auto_octave": whole octaves, for songs; None: what the voice does by itself.
        f0_hz: [F], the pitch that the result shall have in each 10 ms, 0 where it does not matter.
        speaker: name or number of a speaker of the voice.
        index_rate: share of content taken from the voice's own frames, 0 to 1.
        protect: share of index_rate in unvoiced frames, 0 to 0.5.
        loudness_mix: 1 keeps the voice's level, 0 imposes the input's.
        formant_shift_semitones: of the result, -12 to 12: above 0 a smaller speaker, below 0 a larger one.
        channels: "mix": the mean of the channels is converted; "keep": each of them.
    Raises:
        InvalidParameterError: if a value cannot be, whatever the voice.
    """

    output_sample_rate: int | None = None
    pitch_shift_semitones: PitchShift = 0.0
    f0_hz: np.ndarray | None = None
    speaker: str | int | None = None
    index_rate: float | None = None
    protect: float | None = None
    loudness_mix: float | None = None
    formant_shift_semitones: float = 0.0
    channels: Channels = "mix"

    def __post_init__(self) -> None:
        shift, rate = self.pitch_shift_semitones, self.output_sample_rate
        if isinstance(shift, str) and shift not in PITCH_STEPS:
            raise InvalidParameterError(f"pitch_shift_semitones={shift!r} must be auto, auto_octave or a number")
        if rate is not None and not (isinstance(rate, int) and LOWEST_RATE // 2 <= rate <= HIGHEST_RATE):
            words = f"must be a whole number from {LOWEST_RATE // 2} to {HIGHEST_RATE}"
            raise InvalidParameterError(f"output_sample_rate={rate} {words}")
        if not -12 <= self.formant_shift_semitones <= 12:
            raise InvalidParameterError(
                f"formant_shift_semitones={self.formant_shift_semitones:g} is out of range; allowed: -12 to 12"
            )
        if self.channels not in ("mix", "keep"):
            raise InvalidParameterError(f"channels={self.channels!r} must be mix or keep")
        if self.f0_hz is not None and (np.ndim(self.f0_hz) != 1 or not np.isfinite(self.f0_hz).all()):
            raise InvalidParameterError("f0_hz must be one row of finite numbers, one for each 10 ms")
        if self.f0_hz is not None and shift not in (0, None):
            raise InvalidParameterError(f"pitch_shift_semitones={shift} and f0_hz both say the pitch; leave one out")

    @property
    def pitch_step(self) -> int | None:
        """Semitones of which an automatic shift is a multiple; None where it is not automatic."""
        shift = self.pitch_shift_semitones
        return PITCH_STEPS[shift] if isinstance(shift, str) else None

    @property
    def automatic(self) -> dict[str, str]:
        """The controls whose value the recording decides."""
        if self.f0_hz is not None:
            return {"pitch_shift": "f0_hz"}
        return {"pitch_shift": self.pitch_shift_semitones} if isinstance(self.pitch_shift_semitones, str) else {}

    @property
    def asked(self) -> dict[str, float]:
        """The controls that were asked for by number, but for the speaker."""
        shift = self.pitch_shift_semitones
        values = {
            "pitch_shift": None if isinstance(shift, str) else shift,
            "index_rate": self.index_rate,
            "protect": self.protect,
            "loudness_mix": self.loudness_mix,
        }
        return {name: float(value) for name, value in values.items() if value is not None}


def tell(progress: ProgressCallback | None, stage: str, share: float) -> None:
    """Tell a callback how far the conversion is.

    Raises:
        ConversionCancelledError: if it says to stop.
    """
    if progress is not None and progress(Progress(stage, share)) is False:
        raise ConversionCancelledError(f"the conversion was cancelled in stage {stage} at {share:.0%}")
