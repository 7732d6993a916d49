"""The configuration of test_model.py: convert recordings with an exported voice, verify it, or evaluate any voice."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from utils.config.composing import Composed, resolved
from utils.config.fields import NameOrNumber, Number, OptionalPath, Section, Text, Texts, WholeNumbers, setting
from utils.config.job import Job, required
from utils.errors import ConfigError

USAGE = """\
Run an exported voice on recordings, with onnxruntime alone, and report what it does.

  python test_model.py onnx=exports/alice/<file>.onnx audio=recording.wav
  python test_model.py onnx=exports/alice/<file>.onnx audio=recordings/ output=out/ pitch_shift=auto
  python test_model.py onnx=runs/alice/checkpoints/last.ckpt audio=recording.wav      any saved state of a training
  python test_model.py verify=exports/alice/<file>.onnx      every rule of its hosts; exit code 1 when one fails
  python test_model.py evaluate=runs/alice sources=songs target=recordings/alice      how good is it? any voice
  python test_model.py evaluate=<voice> against=<another> sources=songs target=recordings/alice

Environment variables set keys too, beneath the command line: VOCLO_REPORT=report.json is report=report.json."""
HINT = "python test_model.py onnx=exports/<voice>/<voice>_sr...onnx audio=<recording or folder>"
EVALUATE_HINT = "python test_model.py evaluate=<voice> sources=<folder> target=<folder of the speaker's recordings>"
CONVERT, VERIFY, EVALUATE = "onnx=", "verify=", "evaluate="
OF_CONVERSIONS = {"use": (CONVERT,)}
OF_CONTROLS = {"use": (CONVERT, EVALUATE)}
OF_EVALUATIONS = {"use": (EVALUATE,)}
OF_VERIFICATIONS = {"use": (VERIFY,)}
MOST_THREADS = 256
SoundFormatName = Literal["wav", "wav24", "wav32f", "flac", "flac24", "mp3", "ogg", "opus", "m4a"]
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

    onnx: OptionalPath = setting(
        None,
        "an exported voice; a run, or a checkpoint of one, is exported for it",
        example="exports/alice/<file>.onnx",
    )
    audio: Recordings
    output: OptionalPath = setting(
        None,
        "folder, or a sound file for one recording; null: converted/<voice>, evaluated/<voice>",
        only_with=OF_CONTROLS,
    )
    report: OptionalPath = setting(
        None, "JSON file; null: report.json beside the output, verified/<graph>.json, evaluation.json beside the voice"
    )
    threads: WholeNumbers = setting(
        [1, 2], "speed is measured with each, 1 to 256; the conversion uses the last", only_with=OF_CONVERSIONS
    )
    workers: int = setting(
        1, "recordings that are converted at the same time, each by as many threads", ge=1, le=64,
        only_with=OF_CONVERSIONS,
    )  # fmt: skip
    resume: bool = setting(
        False, "leave out recordings that were converted with the same settings before", only_with=OF_CONVERSIONS
    )
    format: SoundFormatName | None = setting(
        None, "of the converted files, wav with 16 bits, flac with 16; null: by the ending of output=, else wav",
        example="flac", only_with=OF_CONVERSIONS,
    )  # fmt: skip
    output_rate: int | None = setting(
        None, "of the converted files; null: that of the voice", unit="Hz", ge=4000, le=192000, example=48000,
        only_with=OF_CONVERSIONS,
    )  # fmt: skip
    channels: Literal["mix", "keep"] = setting(
        "mix", "convert the mean of the channels, or each of them", only_with=OF_CONVERSIONS
    )
    tags: bool = setting(True, "keep title, artist and the like of a recording", only_with=OF_CONVERSIONS)
    pitch_shift: Literal["auto", "auto_octave"] | Number | None = setting(
        None, "-36 to 36; auto: whole semitones from the recording's median pitch to the voice's; auto_octave: whole "
        "octaves, for songs; null: the voice's own default",
        unit="semitones", example="auto", only_with=OF_CONTROLS,
    )  # fmt: skip
    speaker: NameOrNumber | None = setting(
        None, "name or number of a speaker of the voice; null: its own default", only_with=OF_CONTROLS
    )
    index_rate: Number | None = setting(
        None, "share of content taken from the voice's own frames", ge=0, le=1, example=0.5, only_with=OF_CONTROLS
    )
    protect: Number | None = setting(
        None, "share of index_rate in unvoiced frames", ge=0, le=0.5, example=0.33, only_with=OF_CONTROLS
    )
    loudness_mix: Number | None = setting(
        None, "1 keeps the voice's level, 0 imposes the input's", ge=0, le=1, example=1, only_with=OF_CONTROLS
    )
    automatic_f0: int | None = setting(
        None, "1: the pitch that the voice predicts, for speech; 0: the recording's; null: the voice's own default",
        ge=0, le=1, example=1, only_with=OF_CONVERSIONS,
    )  # fmt: skip
    source: NameOrNumber | None = setting(
        None, "name or number of the speaker of the recording, for a voice that must know it", only_with=OF_CONVERSIONS
    )
    verify: OptionalPath = setting(None, "prove instead that this voice does what its hosts need")
    verify_minutes: Number = setting(
        10.0, "length of the long recording; 0 leaves it out", ge=0, le=60, only_with=OF_VERIFICATIONS
    )
    verify_blocks: int = setting(
        1000, "blocks of 100 ms over which memory must not grow; 0 leaves it out", ge=0, le=1_000_000,
        only_with=OF_VERIFICATIONS,
    )  # fmt: skip
    evaluate: OptionalPath = setting(
        None, "measure how good this voice is: a run, an export, a .onnx, a .pth of RVC, a folder of converted files"
    )
    against: OptionalPath = setting(None, "another voice over the same sources, to compare", only_with=OF_EVALUATIONS)
    sources: OptionalPath = setting(None, "folder of recordings of other speakers", only_with=OF_EVALUATIONS)
    target: OptionalPath = setting(
        None, "folder of recordings of the speaker, best kept out of the training", only_with=OF_EVALUATIONS
    )
    most_sources: int = setting(20, "sources that are used, evenly spread", ge=1, le=10000, only_with=OF_EVALUATIONS)
    most_target: int = setting(20, "recordings of the speaker that are used", ge=1, le=10000, only_with=OF_EVALUATIONS)
    evaluators: Texts = setting(
        ["resemblyzer", "ecapa", "whisper", "distillmos"], "of those and moonshine; what is not installed is named",
        only_with=OF_EVALUATIONS,
    )  # fmt: skip
    language: Text = setting("en", "of the sources, two letters, for whisper", only_with=OF_EVALUATIONS)
    leaks: bool = setting(True, "try silence, noise, breath and the speaker's own recordings", only_with=OF_EVALUATIONS)
    sweep: bool = setting(
        False, "try values of pitch_shift, index_rate and protect, and recommend some", only_with=OF_EVALUATIONS
    )

    @classmethod
    def from_config(cls, config: Composed, given: Collection[str] = ()) -> Self:
        """Validate what Hydra composed; a VoiceTrial becomes the job of what is given: evaluate=, verify= or onnx=."""
        if cls is not VoiceTrial:
            return super().from_config(config, given)
        values = resolved(config)
        kind: Any = EvaluateJob if values.get("evaluate") else VerifyJob if values.get("verify") else ConvertJob
        job: Self = kind.from_config(config, given)
        return job

    @property
    def uses(self) -> dict[str, str]:
        """What is asked for, by what settings may depend on."""
        return {"use": EVALUATE if self.evaluate else VERIFY if self.verify is not None else CONVERT}

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
        names = ("pitch_shift", "index_rate", "protect", "loudness_mix", "automatic_f0")
        values = {name: getattr(self, name) for name in names}
        return {
            name: float(value) for name, value in values.items() if value is not None and not isinstance(value, str)
        }


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


class EvaluateJob(VoiceTrial):
    """A voice to be evaluated: python test_model.py evaluate=<voice> sources=<folder> target=<folder>."""

    @model_validator(mode="after")
    def _check_voices(self) -> Self:
        if self.onnx or self.audio.path or self.verify:
            raise ConfigError("evaluate= converts sources= itself; leave onnx=, audio= and verify= out")
        if self.speaker is not None and not isinstance(self.speaker, int):
            raise ConfigError(f"speaker={self.speaker} must be a number with evaluate=; test_model.py onnx= lists them")
        if self.sweep and self.against is not None:
            raise ConfigError("sweep=true compares settings of one voice; leave against= out")
        return self

    @property
    def voices(self) -> list[Path]:
        """The voice, and the one that it is compared with."""
        first = required("evaluate", self.evaluate, EVALUATE_HINT)
        return [first, self.against] if self.against else [first]

    @property
    def source_folder(self) -> Path:
        """Folder of the sources."""
        return required("sources", self.sources, EVALUATE_HINT)

    @property
    def target_folder(self) -> Path:
        """Folder of the speaker's recordings."""
        return required("target", self.target, EVALUATE_HINT)

    @property
    def controls(self) -> dict[str, float]:
        """Values of the graph's optional inputs, the number of the speaker among them."""
        chosen = {} if self.speaker is None else {"speaker_id": float(self.speaker)}
        return super().controls | chosen


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
