"""The jobs of test_model.py, from its configuration."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from utils.config import require, to_plain
from utils.config.settings import as_list
from utils.errors import ConfigError
from utils.files import check_new_file
from utils.inference.settings import check_settings
from utils.verification.candidate import Extent
from utils.verification.job import VerifyJob
from utils.voice_file.controls import CONTROLS

FOLDER = Path("verified")
HINT = "python test_model.py onnx=exports/<voice>/<voice>_sr...onnx audio=<recording or folder>"


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """One run of test_model.py; configs/test_model.yaml says what each value means.

    Attributes:
        controls: values of the graph's overridable inputs without pitch_shift when that is automatic.
        is_pitch_automatic: whether each recording is moved to the median pitch of the target.
        speaker: name or number of the target, None for the graph's default.
    """

    onnx: Path
    audio: Path
    output: Path | None
    report: Path | None
    threads: tuple[int, ...]
    controls: dict[str, float]
    is_pitch_automatic: bool
    speaker: str | int | None


def trial_job(config: DictConfig, given: Collection[str] = ()) -> TrialJob:
    """Build the typed job of configs/test_model.yaml.

    Args:
        config: the script's configuration.
        given: keys that somebody typed; those that have no effect are refused.
    Raises:
        ConfigError: if onnx or audio is missing, or a value is of the wrong kind or without effect.
    """
    plain = to_plain(config)
    check_settings(plain, given)
    onnx = Path(str(require(config, "onnx", HINT))).expanduser()
    audio = Path(str(require(config, "audio.path", HINT))).expanduser()
    names = [control.name for control in CONTROLS if control.name != "speaker_id"]
    is_automatic = plain["pitch_shift"] == "auto"
    given = [name for name in names if plain[name] is not None and not (name == "pitch_shift" and is_automatic)]
    controls = {name: plain[name] for name in given}
    if isinstance(controls.get("pitch_shift"), str):
        raise ConfigError(f"pitch_shift={controls['pitch_shift']!r} is not a number or auto")
    threads = as_list(plain["threads"])
    if not threads or not all(1 <= count <= 256 for count in threads):
        raise ConfigError(f"threads={plain['threads']!r} must be a list of whole numbers from 1 to 256, such as [1,2]")
    return TrialJob(
        onnx=onnx,
        audio=audio,
        output=Path(str(plain["output"])).expanduser() if plain["output"] else None,
        report=Path(str(plain["report"])).expanduser() if plain["report"] else None,
        threads=tuple(threads),
        controls={name: float(value) for name, value in controls.items()},
        is_pitch_automatic=is_automatic,
        speaker=plain["speaker"],
    )


def verify_job(config: DictConfig, given: Collection[str] = ()) -> VerifyJob:
    """Build the typed job of configs/test_model.yaml with `verify` given.

    Args:
        config: the script's configuration.
        given: keys that somebody typed; those that have no effect are refused.
    Raises:
        ConfigError: if a recording or another graph is given too, the report cannot be written at its place, or a value
            is of a wrong kind, out of range or without effect.
    """
    plain = to_plain(config)
    check_settings(plain, given)
    path = Path(str(plain["verify"])).expanduser()
    if plain["onnx"] or plain["audio"]["path"]:
        raise ConfigError("verify= tries a graph on its own signals; leave onnx= and audio= out, or verify= out")
    report = Path(str(plain["report"])).expanduser() if plain["report"] else FOLDER / f"{path.stem}.json"
    check_new_file(report, "report", [path])
    extent = Extent(minutes=float(plain["verify_minutes"]), num_blocks=int(plain["verify_blocks"]))
    return VerifyJob(onnx=path, report=report, extent=extent)
