"""The configuration of test_model.py: convert recordings with an exported voice, or verify it."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from utils.config.composing import Composed, resolved
from utils.config.fields import NameOrNumber, Number, OptionalPath, Section, WholeNumbers, setting
from utils.config.job import Job, required
from utils.errors import ConfigError

USAGE = """\
Run an exported voice on recordings, with onnxruntime alone, and report what it does.

  python test_model.py onnx=exports/alice/<file>.onnx audio=recording.wav
  python test_model.py onnx=exports/alice/<file>.onnx audio=recordings/ output=out/ pitch_shift=auto
  python test_model.py verify=exports/alice/<file>.onnx      every rule of its hosts; exit code 1 when one fails

Environment variables set keys too, beneath the command line: VOCLO_REPORT=report.json is report=report.json."""
HINT = "python test_model.py onnx=exports/<voice>/<voice>_sr...onnx audio=<recording or folder>"
CONVERT, VERIFY = "onnx=", "verify="
OF_CONVERSIONS = {"use": (CONVERT,)}
OF_VERIFICATIONS = {"use": (VERIFY,)}
MOST_THREADS = 256
AUTOMATIC_STEPS = {"auto": 1, "auto_octave": 12}


class Recordings(Section):
    """The section `audio`, which is written audio=<path>."""

    path: OptionalPath = setting(None, "a recording, or a folder of recordings", example="<recording or folder>")


class VoiceTrial(Job):
    """Everything that test_model.py can be told."""

    config_name: ClassVar[str] = "test_model"
    usage: ClassVar[str] = USAGE
    # audio= alone would choose an option of the configuration group of that name
    short_keys: ClassVar[dict[str, str]] = {"audio": "audio.path"}

    onnx: OptionalPath = setting(None, "an exported voice", example="exports/alice/<file>.onnx")
    audio: Recordings
    output: OptionalPath = setting(
        None, "folder, or a .wav file for one recording; null: converted/<voice>", only_with=OF_CONVERSIONS
    )
    report: OptionalPath = setting(
        None, "JSON file; null: report.json beside the output, or verified/<name of the graph>.json"
    )
    threads: WholeNumbers = setting(
        [1, 2], "speed is measured with each, 1 to 256; the conversion uses the last", only_with=OF_CONVERSIONS
    )
    pitch_shift: Literal["auto", "auto_octave"] | Number | None = setting(
        None, "-36 to 36; auto: whole semitones from the recording's median pitch to the voice's; auto_octave: whole "
        "octaves, for songs; null: the voice's own default",
        unit="semitones", example="auto", only_with=OF_CONVERSIONS,
    )  # fmt: skip
    speaker: NameOrNumber | None = setting(
        None, "name or number of a speaker of the voice; null: its own default", only_with=OF_CONVERSIONS
    )
    index_rate: Number | None = setting(
        None, "share of content taken from the voice's own frames", ge=0, le=1, example=0.5, only_with=OF_CONVERSIONS
    )
    protect: Number | None = setting(
        None, "share of index_rate in unvoiced frames", ge=0, le=0.5, example=0.33, only_with=OF_CONVERSIONS
    )
    loudness_mix: Number | None = setting(
        None, "1 keeps the voice's level, 0 imposes the input's", ge=0, le=1, example=1, only_with=OF_CONVERSIONS
    )
    verify: OptionalPath = setting(None, "prove instead that this voice does what its hosts need")
    verify_minutes: Number = setting(
        10.0, "length of the long recording; 0 leaves it out", ge=0, le=60, only_with=OF_VERIFICATIONS
    )
    verify_blocks: int = setting(
        1000, "blocks of 100 ms over which memory must not grow; 0 leaves it out", ge=0, le=1_000_000,
        only_with=OF_VERIFICATIONS,
    )  # fmt: skip

    @classmethod
    def from_config(cls, config: Composed, given: Collection[str] = ()) -> Self:
        """Validate what Hydra composed; a VoiceTrial becomes a VerifyJob where verify= is given, else a ConvertJob."""
        if cls is not VoiceTrial:
            return super().from_config(config, given)
        kind: Any = VerifyJob if resolved(config).get("verify") else ConvertJob
        job: Self = kind.from_config(config, given)
        return job

    @property
    def uses(self) -> dict[str, str]:
        """What is asked for, by what settings may depend on."""
        return {"use": VERIFY if self.verify is not None else CONVERT}


class ConvertJob(VoiceTrial):
    """Recordings to be converted: python test_model.py onnx=<voice>.onnx audio=<recording or folder>."""

    @model_validator(mode="after")
    def _check_threads(self) -> Self:
        if not self.threads or not all(1 <= count <= MOST_THREADS for count in self.threads):
            words = f"must be a list of whole numbers from 1 to {MOST_THREADS}, such as [1,2]"
            raise ConfigError(f"threads={list(self.threads)} {words}")
        return self

    @property
    def graph(self) -> Path:
        """The voice."""
        return required("onnx", self.onnx, HINT)

    @property
    def recordings(self) -> Path:
        """A recording, or a folder of recordings."""
        return required("audio.path", self.audio.path, HINT)

    @property
    def is_pitch_automatic(self) -> bool:
        """Whether each recording is moved to the median pitch of the target."""
        return self.pitch_step is not None

    @property
    def pitch_step(self) -> int | None:
        """Semitones of which an automatic pitch_shift is a multiple; None where it is not automatic."""
        return AUTOMATIC_STEPS.get(self.pitch_shift) if isinstance(self.pitch_shift, str) else None

    @property
    def controls(self) -> dict[str, float]:
        """Values of the graph's optional inputs, without those that are null, automatic or a name."""
        names = ("pitch_shift", "index_rate", "protect", "loudness_mix")
        values = {name: getattr(self, name) for name in names}
        return {
            name: float(value) for name, value in values.items() if value is not None and not isinstance(value, str)
        }


class VerifyJob(VoiceTrial):
    """A voice to be verified: python test_model.py verify=<voice>.onnx."""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.verify is None:
            raise ConfigError("verify=null must be a path, such as exports/alice/<file>.onnx")
        if self.onnx or self.audio.path:
            raise ConfigError("verify= tries a graph on its own signals; leave onnx= and audio= out, or verify= out")
        return self

    @property
    def graph(self) -> Path:
        """The voice."""
        return required("verify", self.verify, "python test_model.py verify=<voice>.onnx")


def convert_job(overrides: Sequence[str]) -> ConvertJob:
    """Build a conversion's job from overrides as on the command line of test_model.py.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return ConvertJob.from_overrides(overrides)


def verify_job(overrides: Sequence[str]) -> VerifyJob:
    """Build a verification's job from overrides as on the command line of test_model.py.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return VerifyJob.from_overrides(overrides)
