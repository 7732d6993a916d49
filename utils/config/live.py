"""The configuration of live.py."""

from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import model_validator

from utils.config.fields import NameOrNumber, Number, OptionalPath, setting
from utils.config.voice_keys import VoiceJob
from utils.errors import ConfigError

USAGE = """\
Speak in a voice: microphone -> voice -> loudspeaker, until Ctrl-C.

  pip install sounddevice                                      once; on Linux also: apt install libportaudio2
  python live.py devices=true                                  which microphones and loudspeakers there are
  python live.py voice=exports/alice/alice_sr24000_hop240_nfft960.onnx
  python live.py voice=... input=2 output=pulse pitch_shift=5

While it runs, type b and Enter for the own voice and back, + or - and Enter for a semitone, q and Enter to end. Take
headphones: what the loudspeaker says must not reach the microphone.

Environment variables set keys too, beneath the command line: VOCLO_VOICE=<file> is voice=<file>."""


class LiveJob(VoiceJob):
    """A live conversion: python live.py voice=<file>.onnx."""

    config_name: ClassVar[str] = "live"
    usage: ClassVar[str] = USAGE

    voice: OptionalPath = setting(None, "an exported voice: the usual graph, or one of streams", example="alice.onnx")
    devices: bool = setting(False, "list the sound devices instead")
    input: NameOrNumber | None = setting(None, "number or part of the name of the microphone; null: the system's")
    output: NameOrNumber | None = setting(None, "number or part of the name of the loudspeaker; null: the system's")
    block_ms: Number = setting(
        100.0, "sound that is converted at a time; longer blocks compute less and are later; a stream graph takes the "
        "multiple of its own block that comes nearest",
        unit="ms", ge=20, le=1000,
    )  # fmt: skip
    history_ms: Number = setting(500.0, "sound before the block that a usual graph is given", unit="ms", ge=16, le=5000)
    ahead_ms: Number = setting(60.0, "sound behind the block that a usual graph waits for", unit="ms", ge=16, le=1000)
    slack_ms: Number = setting(
        40.0, "silence in front of the loudspeaker, so that one slow block is not heard", unit="ms", ge=0, le=1000
    )
    device_ms: Number = setting(
        50.0, "sound that each device is asked to hold by itself; the machine may stand still for so long",
        unit="ms", ge=5, le=500,
    )  # fmt: skip
    threads: int = setting(1, "of the graph", ge=1, le=64)
    priority: bool = setting(
        False,
        "before other programs where the system allows it: real time on Linux, high on Windows, else nice -10; for a "
        "busy machine whose sound server has a higher one",
    )
    gate_db: Number = setting(-60.0, "quieter input is silence; -80 lets all through", unit="dB", ge=-80, le=0)
    monitor: Number = setting(0.0, "share of the own voice that is heard with the converted one", ge=0, le=1)
    bypass: bool = setting(False, "begin with the own voice")
    pitch_shift: Number | None = setting(None, "null: the voice's own", unit="semitones", ge=-36, le=36, example=5)
    loudness_mix: Number | None = setting(
        None, "1 keeps the voice's level, 0 imposes the input's", ge=0, le=1, example=1
    )
    seconds: Number | None = setting(None, "end after this; null: Ctrl-C", unit="s", ge=0.1, example=60)
    report: OptionalPath = setting(None, "write what was measured to this file", example="live.json")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.voice is None and not self.devices:
            hint = "python live.py voice=<file>.onnx, or devices=true for a list"
            raise ConfigError("voice is missing.", hint=hint)
        return self

    @property
    def controls(self) -> dict[str, float]:
        """Values of the graph's optional inputs, without those that are null and without the speaker."""
        names = ("pitch_shift", "index_rate", "protect", "loudness_mix")
        return {name: float(value) for name in names if (value := getattr(self, name)) is not None}


def live_job(overrides: Sequence[str]) -> LiveJob:
    """Build the job of live.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return LiveJob.from_overrides(overrides)
