"""The teacher: the tiny English encoder of Moonshine, inside the package moonshine-voice 0.0.69 (MIT)."""

import importlib.metadata
import importlib.util
from pathlib import Path

import numpy as np

from utils.errors import DataError
from utils.features.content.network import FRAME_SAMPLES

TEACHER_VERSION = "0.0.69"
INSTALL = f"pip install --no-deps moonshine-voice=={TEACHER_VERSION}"
# the teacher's first layers: convolutions of 127, 7 and 3 samples with strides of 64, 3 and 2 (of the stage before)
TEACHER_HOP = 64 * 3 * 2
TEACHER_CENTRE = (126 + 6 * 64 + 2 * 192) // 2
LEVEL = 0.06  # root mean square of the audio that it is given
MIN_SECONDS = 0.5  # of audio in one call


def moonshine_weights() -> Path:
    """Return where the teacher's weights are.

    Raises:
        DataError: if the package is not installed or has another version; names the command that installs it.
    """
    found = importlib.util.find_spec("moonshine_voice")
    if found is None or not found.submodule_search_locations:
        raise DataError(f"the teacher's package is not installed; type: {INSTALL}")
    version = importlib.metadata.version("moonshine-voice")
    weights = Path(next(iter(found.submodule_search_locations))) / "assets" / "tiny-en" / "encoder_model.ort"
    if version != TEACHER_VERSION or not weights.is_file():
        raise DataError(f"moonshine-voice {version} is not the teacher that the student learned from; type: {INSTALL}")
    return weights


class MoonshineEncoder:
    """Moonshine's tiny English encoder (Jeffries et al. 2024): 16 kHz audio to 288-d features, 41.7 a second.

    Raises:
        DataError: see moonshine_weights.
    """

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(moonshine_weights()), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Return features [N, 288] of 16 kHz audio [T]; N is about T / 384, at least half a second is needed."""
        feeds = {"input_values": audio[None], "attention_mask": np.ones((1, len(audio)), np.int64)}
        return np.asarray(self._session.run(None, feeds)[0])[0]


def set_level(audio: np.ndarray) -> np.ndarray:
    """Scale audio [T] to the level that the teacher is given; silence is not lifted beyond a factor of 600."""
    level = max(1e-4, float(np.sqrt(np.mean(np.square(audio)))))
    return np.clip(audio / level * LEVEL, -1, 1).astype(np.float32)


def align(features: np.ndarray, num_frames: int, frame_samples: int = FRAME_SAMPLES) -> np.ndarray:
    """Interpolate the teacher's features [N, 288] to the centres of frames; returns [num_frames, 288].

    Args:
        features: of audio at 16 kHz.
        num_frames: of the result.
        frame_samples: length of a frame, 20 ms if not given.
    """
    centres = (np.arange(num_frames) + 0.5) * frame_samples
    position = np.clip((centres - TEACHER_CENTRE) / TEACHER_HOP, 0, len(features) - 1)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, len(features) - 1)
    weight = (position - before)[:, None]
    return features[before] * (1 - weight) + features[after] * weight
