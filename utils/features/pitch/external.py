"""Pitch trackers that users bring themselves: packages with weights of their own, and RMVPE from a weights file."""

import importlib
import importlib.metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import librosa
import numpy as np
import torch

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, FRAME_RATE
from utils.errors import ConfigError, WorkbenchError
from utils.features.onnx_hash import sha256_of_onnx
from utils.features.onnx_runs import run_within
from utils.features.pitch.base import MAX_F0_HZ, MIN_F0_HZ
from utils.features.pitch.thresholds import require_share

SWIFT_HOP = 256
MAX_JUMP = 0.12  # natural logarithm, two semitones; pitch is not interpolated across more
RMVPE_BANDS = 128
RMVPE_CENTS = 20 * np.arange(360) + 1997.3794084376191  # above 10 Hz; Wei et al. 2023 (RMVPE), after CREPE
RMVPE_MULTIPLE = 32  # frames; its network halves them five times
RMVPE_THRESHOLD = 0.03
RMVPE_HINT = "put RMVPE's ONNX file (rmvpe.onnx) somewhere and type pitch.path=<file>"
TONE_HZ, TONE_TOLERANCE = 220.0, 0.03  # half a semitone


def _package(name: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"this pitch tracker needs the package {name} ({error}); type: pip install {install}"
        ) from error


def _installed(distribution: str) -> str:
    """Return name and version of a package: its versions carry different weights and give different values."""
    try:
        return f"{distribution} {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{distribution} of unknown version"


def _fit(f0_hz: np.ndarray, frames: int) -> np.ndarray:
    values = np.nan_to_num(np.asarray(f0_hz, dtype=np.float32).reshape(-1))
    values = np.pad(values, (0, max(0, frames - len(values))))[:frames]
    return np.where((values >= MIN_F0_HZ) & (values <= MAX_F0_HZ), values, 0).astype(np.float32)


def _centred(audio: np.ndarray) -> np.ndarray:
    """Move audio so that frames centred on i * 160 samples become ours, centred half a frame later."""
    return np.pad(np.asarray(audio, dtype=np.float32)[FEATURE_HOP // 2 :], (0, FEATURE_HOP // 2))


class SwiftPackagePitch:
    """SwiftF0 by its own package, from frames of 16 ms.

    Args:
        voicing_threshold: a frame is voiced when the package's confidence is at least this.
    """

    is_exportable = False

    def __init__(self, *, voicing_threshold: float = 0.5) -> None:
        require_share("pitch.voicing_threshold", voicing_threshold)
        self.detector = _package("swift_f0", "swift-f0==0.3.0").SwiftF0(threads=1, spin=False)
        self.voicing_threshold = voicing_threshold

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {
            "id": "swift_f0_package",
            "version": 1,
            "package": _installed("swift-f0"),
            "voicing_threshold": self.voicing_threshold,
        }

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        frames = len(audio) // FEATURE_HOP
        if frames == 0:
            return np.zeros(0, np.float32)
        found = self.detector.detect(audio, FEATURE_RATE, fmin=MIN_F0_HZ, fmax=MAX_F0_HZ)
        # the package's frame i is centred on sample i * 256
        position = (np.arange(frames) + 0.5) * FEATURE_HOP / SWIFT_HOP
        grid = np.arange(len(found.pitch_hz))
        pitch = np.log(found.pitch_hz)
        nearest = pitch[np.clip(np.round(position).astype(int), 0, len(grid) - 1)]
        smooth = np.interp(position, grid, pitch)
        log_f0 = np.where(np.abs(smooth - nearest) < MAX_JUMP, smooth, nearest)
        voiced = np.interp(position, grid, found.confidence) >= self.voicing_threshold
        return _fit(np.where(voiced, np.exp(log_f0), 0), frames)


class CrepePitch:
    """CREPE (Kim et al. 2018) through the package torchcrepe.

    Args:
        model: "tiny" or "full".
        periodicity_threshold: frames below this periodicity are unvoiced.
    """

    is_exportable = False

    def __init__(self, *, model: Literal["tiny", "full"] = "tiny", periodicity_threshold: float = 0.21) -> None:
        if model not in ("tiny", "full"):
            raise ConfigError(f"pitch.model={model!r} is unknown; allowed: tiny, full")
        require_share("pitch.periodicity_threshold", periodicity_threshold)
        self.package = _package("torchcrepe", "torchcrepe==0.0.24")
        self.model, self.periodicity_threshold = model, periodicity_threshold

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {
            "id": "crepe",
            "version": 2,
            "package": _installed("torchcrepe"),
            "model": self.model,
            "periodicity_threshold": self.periodicity_threshold,
        }

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        frames = len(audio) // FEATURE_HOP
        if frames == 0:
            return np.zeros(0, np.float32)
        signal = torch.from_numpy(_centred(audio))[None]
        with torch.no_grad():
            f0_hz, periodicity = self.package.predict(
                signal, FEATURE_RATE, FEATURE_HOP, MIN_F0_HZ, MAX_F0_HZ, self.model,
                return_periodicity=True, batch_size=512,
            )  # fmt: skip
        f0_hz = torch.where(periodicity >= self.periodicity_threshold, f0_hz, torch.zeros_like(f0_hz))
        return _fit(f0_hz[0].numpy(), frames)


class FcpePitch:
    """FCPE through the package torchfcpe, which carries its weights.

    Args:
        threshold: frames whose confidence is below this are unvoiced.
    """

    is_exportable = False

    def __init__(self, *, threshold: float = 0.006) -> None:
        require_share("pitch.threshold", threshold)
        package = _package("torchfcpe", "torchfcpe==0.0.4")
        self.model = package.spawn_bundled_infer_model(device="cpu")
        self.threshold = threshold

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {"id": "fcpe", "version": 2, "package": _installed("torchfcpe"), "threshold": self.threshold}

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        frames = len(audio) // FEATURE_HOP
        if frames == 0:
            return np.zeros(0, np.float32)
        signal = torch.from_numpy(np.asarray(audio, dtype=np.float32))[None, :, None]
        with torch.no_grad():
            # one frame more than ours: its own count, which it therefore does not stretch
            f0_hz = self.model.infer(
                signal, sr=FEATURE_RATE, decoder_mode="local_argmax", threshold=self.threshold, f0_min=MIN_F0_HZ,
                f0_max=MAX_F0_HZ, interp_uv=False, output_interp_target_length=frames + 1,
            )  # fmt: skip
        return _fit(f0_hz.numpy(), frames)


class OnnxPitch:
    """RMVPE (Wei et al. 2023) from an ONNX file, in either form that is in use.

    One takes audio [1, T] and a threshold and answers f0 in Hz, with or without a mask of unvoiced frames (named uv);
    the other takes a log-mel spectrogram [1, 128, F] and answers 360 pitch scores of each frame.

    Args:
        path: the user's file.
        threshold: a frame is voiced when its best score is at least this.
    Raises:
        ConfigError: if the file is absent, no ONNX graph, or does not hear the pitch of a tone.
    """

    is_exportable = False

    def __init__(self, *, path: str | None, threshold: float = RMVPE_THRESHOLD) -> None:
        require_share("pitch.threshold", threshold)
        file = Path(path).expanduser() if path else None
        if file is None or not file.is_file():
            raise ConfigError(f"pitch.path={path!r} is not a file; {RMVPE_HINT}")
        import onnxruntime

        self.path, self.threshold = file, threshold
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised; the library would also print it
        try:
            self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a kind for each reason, without a common base
            raise ConfigError(
                f"pitch.path={path!r} is no ONNX graph (a .pt file holds bare weights); {RMVPE_HINT}"
            ) from error
        self.takes_mel = any(len(value.shape) == 3 for value in self.session.get_inputs()[:1])
        self._probe()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {"id": "onnx", "version": 2, "weights_sha256": sha256_of_onnx(self.path), "threshold": self.threshold}

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        frames = len(audio) // FEATURE_HOP
        return _fit(self._run(audio, frames, self.threshold), frames) if frames else np.zeros(0, np.float32)

    def _run(self, audio: np.ndarray, frames: int, threshold: float) -> np.ndarray:
        samples = _centred(audio)
        return self._from_mel(samples, frames, threshold) if self.takes_mel else self._from_audio(samples, threshold)

    def _probe(self) -> None:
        """Let the file hear a tone of one second, as a graph of another kind may give numbers, too."""
        shown = ", ".join(f"{value.name} {value.type} {value.shape}" for value in self.session.get_inputs())
        frames = FRAME_RATE
        try:
            f0_hz = self._run(tone_of_a_second(), frames, min(self.threshold, RMVPE_THRESHOLD))
        except WorkbenchError:
            raise
        except Exception as error:  # of onnxruntime, as above, or of what the graph gave
            reason = " ".join(str(error).split())[:160]
            raise ConfigError(
                f"pitch.path={self.path} takes {shown or 'nothing'} and cannot be run as RMVPE ({reason}); {RMVPE_HINT}"
            ) from error
        if abs(f0_hz.size - frames) > 1:
            raise ConfigError(
                f"pitch.path={self.path} is no RMVPE: it gives {f0_hz.size} values for one second of sound, not "
                f"{frames}; {RMVPE_HINT}"
            )
        found_hz = float(np.median(f0_hz[frames // 5 : -frames // 5]))
        if not abs(found_hz - TONE_HZ) <= TONE_TOLERANCE * TONE_HZ:
            found = f"it hears {found_hz:.1f} Hz in a tone of {TONE_HZ:.0f} Hz"
            raise ConfigError(f"pitch.path={self.path} is no RMVPE: {found}; {RMVPE_HINT}")

    def _from_audio(self, samples: np.ndarray, threshold: float) -> np.ndarray:
        inputs = self.session.get_inputs()
        feed: dict[str, np.ndarray] = {inputs[0].name: samples[None]}
        if len(inputs) > 1:
            feed[inputs[1].name] = np.full([1] * len(inputs[1].shape), threshold, np.float32)
        names = [output.name for output in self.session.get_outputs()]
        values = dict(zip(names, run_within(self.session, None, feed, f"pitch.path={self.path}"), strict=True))
        f0_hz = np.asarray(values[names[0]]).reshape(-1)
        return np.where(np.asarray(values["uv"]).reshape(-1).astype(bool), 0, f0_hz) if "uv" in values else f0_hz

    def _from_mel(self, samples: np.ndarray, frames: int, threshold: float) -> np.ndarray:
        name = self.session.get_inputs()[0].name
        mel = rmvpe_mel(samples)[:, :frames]
        padded = np.pad(mel, ((0, 0), (0, -frames % RMVPE_MULTIPLE)))
        results = run_within(self.session, None, {name: padded[None]}, f"pitch.path={self.path}")
        scores = np.asarray(results[0])[0, :frames]
        return decode_rmvpe(scores, threshold)


def tone_of_a_second() -> np.ndarray:
    """Return 16 kHz audio, float32 [16000], of 220 Hz with ten harmonics that fall by 6 dB an octave."""
    harmonics = np.arange(1, 11)
    turns = np.outer(np.arange(FEATURE_RATE) / FEATURE_RATE, TONE_HZ * harmonics)
    return (np.sin(2 * np.pi * turns) @ (0.1 / harmonics)).astype(np.float32)


def rmvpe_mel(samples: np.ndarray) -> np.ndarray:
    """Return RMVPE's input, float32 [128, F + 1], of 16 kHz audio [F * 160]: log-mel, HTK scale, 30 to 8000 Hz."""
    bands = librosa.filters.mel(sr=FEATURE_RATE, n_fft=1024, n_mels=RMVPE_BANDS, fmin=30, fmax=8000, htk=True)
    mode: Literal["reflect", "constant"] = "reflect" if len(samples) > 512 else "constant"
    spectrum = np.abs(librosa.stft(samples, n_fft=1024, hop_length=FEATURE_HOP, pad_mode=mode))
    return np.log(np.maximum(bands @ spectrum, 1e-5)).astype(np.float32)


def decode_rmvpe(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return f0 in Hz [F], 0 below the threshold, from scores [F, 360]: the mean of cents around the best."""
    around = np.argmax(scores, axis=1)[:, None] + np.arange(-4, 5)
    inside = (around >= 0) & (around < scores.shape[1])
    places = around.clip(0, scores.shape[1] - 1)
    weights = np.where(inside, np.take_along_axis(scores, places, axis=1), 0)
    cents = (weights * RMVPE_CENTS[places]).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    return np.where(scores.max(axis=1) >= threshold, 10 * 2 ** (cents / 1200), 0)
