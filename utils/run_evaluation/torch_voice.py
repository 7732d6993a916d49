"""A trained voice that converts in PyTorch, for what cannot stand inside a graph."""

from dataclasses import asdict

import numpy as np
import torch

from models.conversion import AudioConverter
from utils.inference.session import WHOLE_SECONDS, ControlValues
from utils.voice_file.controls import CONTROLS, ControlDefaults


class TorchVoice:
    """Converts as an exported graph would.

    Args:
        converter: from audio to audio.
        defaults: of the controls that a caller does not give.
    """

    def __init__(self, converter: AudioConverter, defaults: ControlDefaults) -> None:
        self._converter, self._defaults = converter, defaults
        self.sample_rate, self.whole_seconds = converter.io_rate, WHOLE_SECONDS

    @torch.no_grad()
    def run(self, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
        """Convert [T] float32 at the voice's rate in one piece; returns [T]."""
        values = asdict(self._defaults) | dict(controls or {})
        scalars = [torch.from_numpy(control.array(values[control.name])) for control in CONTROLS]
        samples = torch.from_numpy(np.array(audio, np.float32))[None]
        converted: np.ndarray = self._converter(samples, *scalars)[0].numpy()
        return converted
