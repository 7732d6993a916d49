"""Pitch trackers that users bring themselves: CREPE and FCPE packages, RMVPE from a weights file."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.errors import ConfigError
from utils.files import sha256_of_file


def _package(name: str, install: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"this pitch tracker needs the package {name}; type: pip install {install}") from error


def _fit(f0_hz: np.ndarray, frames: int) -> np.ndarray:
    values = np.nan_to_num(np.asarray(f0_hz, dtype=np.float32).reshape(-1))
    return np.pad(values, (0, max(0, frames - len(values))))[:frames]


class CrepePitch:
    """CREPE (Kim et al. 2018) through the package torchcrepe.

    Args:
        model: "tiny" or "full".
        periodicity_threshold: frames below this periodicity are unvoiced.
    """

    is_exportable = False

    def __init__(self, *, model: Literal["tiny", "full"] = "tiny", periodicity_threshold: float = 0.21) -> None:
        self.package = _package("torchcrepe", "--no-deps torchcrepe")
        self.model, self.periodicity_threshold = model, periodicity_threshold

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {"id": "crepe", "version": 1, "model": self.model, "periodicity_threshold": self.periodicity_threshold}

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        signal = torch.from_numpy(np.asarray(audio, dtype=np.float32))[None]
        f0_hz, periodicity = self.package.predict(
            signal, FEATURE_RATE, FEATURE_HOP, 50.0, 1100.0, self.model, return_periodicity=True, batch_size=512
        )
        f0_hz = torch.where(periodicity >= self.periodicity_threshold, f0_hz, torch.zeros_like(f0_hz))
        return _fit(f0_hz[0].numpy(), len(audio) // FEATURE_HOP)


class FcpePitch:
    """FCPE through the package torchfcpe, which carries its weights.

    Args:
        threshold: frames whose confidence is below this are unvoiced.
    """

    is_exportable = False

    def __init__(self, *, threshold: float = 0.006) -> None:
        package = _package("torchfcpe", "torchfcpe==0.0.4")
        self.model = package.spawn_bundled_infer_model(device="cpu")
        self.threshold = threshold

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {"id": "fcpe", "version": 1, "threshold": self.threshold}

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        frames = len(audio) // FEATURE_HOP
        signal = torch.from_numpy(np.asarray(audio, dtype=np.float32))[None, :, None]
        f0_hz = self.model.infer(
            signal, sr=FEATURE_RATE, decoder_mode="local_argmax", threshold=self.threshold, f0_min=50, f0_max=1100,
            interp_uv=False, output_interp_target_length=frames,
        )
        return _fit(f0_hz.numpy(), frames)


class OnnxPitch:
    """RMVPE, or another tracker exported as ONNX.

    Its inputs are the audio [1, T] and, where it has a second one, the threshold; its first output is f0 in Hz.

    Args:
        path: the user's file.
        threshold: voicing threshold handed to the graph when it has such an input.
    """

    is_exportable = False

    def __init__(self, *, path: str | None, threshold: float = 0.03) -> None:
        if not path or not Path(path).is_file():
            hint = "put RMVPE as ONNX (audio in, f0 out) somewhere and type pitch.path=<file>"
            raise ConfigError(f"pitch.path={path!r} is not a file; {hint}")
        import onnxruntime

        self.path, self.threshold = Path(path), threshold
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {"id": "onnx", "version": 1, "weights_sha256": sha256_of_file(self.path), "threshold": self.threshold}

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        inputs = self.session.get_inputs()
        feed: dict[str, np.ndarray] = {inputs[0].name: np.asarray(audio, dtype=np.float32)[None]}
        if len(inputs) > 1:
            feed[inputs[1].name] = np.array([self.threshold], np.float32)
        return _fit(self.session.run(None, feed)[0], len(audio) // FEATURE_HOP)
