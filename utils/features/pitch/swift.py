"""The default pitch tracker: SwiftF0's network as a torch module, so that it can stand inside the exported graph.

Architecture and weights: Nieradzik, "SwiftF0" (2025), MIT; the weights are read from the installed package swift-f0.
Three spectrograms (windows of 1024, 2048 and 512 samples) on a common axis of 128 log-spaced frequencies pass through a
small residual convolution network that scores 95 pitch candidates and a voicing probability. The package works on
16 ms frames; here the same network slides over 10 ms frames, its estimate is refined in a short window, and the voicing
threshold is lower: what the package calls unvoiced at 0.5 is mostly soft voice (benchmarks/pitch.py).
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.fourier import FrameTransform, Framing
from utils.audio.frames import FEATURE_HOP
from utils.audio.reshaping import reshape
from utils.errors import ConfigError
from utils.features.pitch.base import MAX_F0_HZ, MIN_F0_HZ
from utils.features.pitch.refinement import HarmonicRefinement, refinement_windows
from utils.files import sha256_of_file

WINDOWS = (1024, 2048, 512)
NUM_CANDIDATES = 96
NUM_FREQUENCIES = 128
FRAME = max(WINDOWS)
EXPECTED_SHA256 = "6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22"
SILENCE_PEAK = 1e-3  # below this level the package itself calls a frame unvoiced
# of each residual layer, along frequency
DILATIONS = (1, 1, 1, 17, 17, 27, 27, 40, 40, 48, 48, 2, 2)
LAST_BLOCK = 11  # from here on only the candidates count, and the frequencies that each convolution reaches above them
LAST_REACH = 6
WIDE = 16  # channels of images that onnxruntime computes at once


class SwiftPitch(nn.Module):
    """Pitch and voicing from 16 kHz audio.

    Args:
        voicing_threshold: a frame is voiced when its probability is at least this.
    """

    is_exportable = True

    def __init__(self, *, voicing_threshold: float = 0.38) -> None:
        super().__init__()
        if not 0.0 < voicing_threshold < 1.0:
            raise ConfigError(f"pitch.voicing_threshold={voicing_threshold} is out of range; allowed: between 0 and 1")
        self.voicing_threshold = voicing_threshold
        self.framing = Framing(FRAME, FEATURE_HOP)
        self.long = FrameTransform(_hann(2048), rows=32)
        self.middle = FrameTransform(_hann(1024), rows=32)
        self.short = FrameTransform(refinement_windows(), rows=16)
        self.refinement = HarmonicRefinement()
        for index, window in enumerate((_hann(1024), _hann(2048), refinement_windows())):
            self._store(f"window_{index}", window.float().numpy())
        path = _model_file()
        digest = sha256_of_file(path)
        if digest != EXPECTED_SHA256:
            raise ConfigError(
                f"swift-f0's model.onnx has SHA-256 {digest[:12]}..., expected {EXPECTED_SHA256[:12]}...; "
                "type: pip install swift-f0==0.3.0"
            )
        self._load(path)
        self.requires_grad_(False)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {
            "id": "swift_f0",
            "version": 2,
            "weights_sha256": EXPECTED_SHA256,
            "voicing_threshold": self.voicing_threshold,
        }

    def forward(self, audio: Tensor) -> Tensor:
        """Return f0 in Hz [B, F], 0 where unvoiced, from audio [B, F * 160] at 16 kHz."""
        return self._estimate(*self.analyse(audio))

    def _estimate(self, frames: Tensor, short: Tensor, spectra: Tensor) -> Tensor:
        """Return f0 in Hz [B, F] from what analyse returns."""
        scores, voicing = self._network(spectra)
        f0_hz = self.refinement(self._decode(scores).flatten(), short).reshape(frames.shape[0], -1)
        # the peak of a frame's 32 ms, as digital silence confuses the network
        peak = _middle(frames, 512).abs().amax(dim=-1)
        voiced = (voicing >= self.voicing_threshold) & (peak >= SILENCE_PEAK)
        voiced = voiced & (f0_hz >= MIN_F0_HZ) & (f0_hz <= MAX_F0_HZ)
        return torch.where(voiced, f0_hz, f0_hz.new_zeros(()))

    def analyse(self, audio: Tensor, *, by_fft: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the estimate is made of, from audio [B, F * 160].

        Args:
            audio: at 16 kHz.
            by_fft: take FFTs instead of an exported graph's matrix products: a quarter of the time, other rounding.
        Returns:
            The samples around each frame [B, F, 2048]; spectra for the refinement [B * F, 4, bins]; what the network
            reads [B, 3, 128, F].
        """
        padded = functional.pad(audio, (self.framing.before, self.framing.after))
        frames = padded.unfold(1, FRAME, FEATURE_HOP) if by_fft else self.framing(padded)
        maps, short = self._maps_by_fft(frames) if by_fft else self._maps(frames)
        tables = [self.get_buffer(f"axis_{index}") for index in range(len(WINDOWS))]
        if by_fft:
            tables = [table[: spectrum.shape[1]] for table, spectrum in zip(tables, maps, strict=True)]
        axes = [torch.matmul(spectrum, table) for spectrum, table in zip(maps, tables, strict=True)]
        spectra = torch.log(torch.cat(axes, dim=1) + 1e-8).reshape(audio.shape[0], -1, 3, NUM_FREQUENCIES)
        return frames, short, spectra.permute(0, 2, 3, 1)

    def _maps_by_fft(self, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return magnitudes [M, bins] under each of WINDOWS and the fields of the refinement [M, 4, bins]."""
        middle, long, short = (
            torch.fft.rfft(_middle(frames, length).unsqueeze(2) * self.get_buffer(f"window_{index}")).flatten(0, 1)
            for index, length in enumerate(WINDOWS)
        )
        maps = [_absolute(spectrum[:, 0]) for spectrum in (middle, long, short)]
        return maps, torch.view_as_real(short).transpose(2, 3).flatten(1, 2)

    def _maps(self, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what _maps_by_fft returns, by matrix products; places above the last bin do not count."""
        short = reshape(self.short(_middle(frames, 512)).permute(2, 3, 0, 1, 4), 0, 4, -1)  # [M, 4, bins]
        maps = [
            _magnitude(self.middle(_middle(frames, 1024))),
            _magnitude(self.long(frames)),
            torch.linalg.vector_norm(short[:, :2], dim=1),
        ]
        return maps, short

    @torch.no_grad()
    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        if len(audio) == 0:
            return np.zeros(0, np.float32)
        samples = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))[None]
        return self._estimate(*self.analyse(samples, by_fft=True))[0].numpy()

    def _network(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Return candidate scores [B, F, 95] and voicing probability [B, F] from [B, 3, 128, F]."""
        # a quarter faster on a CPU; the tracing exporter knows no memory formats
        laid_out = spectra if torch.jit.is_tracing() else spectra.contiguous(memory_format=torch.channels_last)
        x = self._convolve(laid_out, 0).relu_()
        for first in range(1, len(DILATIONS), 2):
            is_last = first == LAST_BLOCK
            residual = x[:, :, : NUM_CANDIDATES + 2 * LAST_REACH] if is_last else x
            x = self._convolve(residual, first).relu_()
            x = x[:, :, : NUM_CANDIDATES + LAST_REACH] if is_last else x
            x = self._convolve(x, first + 1)
            kept = residual[:, :, :NUM_CANDIDATES] if is_last else residual
            x = x[:, :, :NUM_CANDIDATES] if is_last else x
            x = x.add_(kept).relu_()
        x = functional.pad(x, (1, 1, 1, 0))
        x = functional.relu(self._convolve(x, 13))
        hint, scores = hint_and_scores(x, self._layer(14), self._layer(15))
        mean = spectra.mean(dim=(1, 2), keepdim=False).unsqueeze(1)
        voice = torch.cat([hint.amax(dim=2), mean], dim=1)
        voice = functional.relu(functional.conv1d(voice, *self._layer(16), padding=1))
        voice = functional.conv1d(voice, *self._layer(17)).squeeze(1)
        return scores.squeeze(1).transpose(1, 2), torch.sigmoid(voice)

    def _convolve(self, x: Tensor, index: int) -> Tensor:
        weight, bias = self._layer(index)
        if index >= len(DILATIONS):
            return functional.conv2d(x, weight, bias)
        dilation = DILATIONS[index]
        padding = ((weight.shape[2] - 1) // 2 * dilation, (weight.shape[3] - 1) // 2)
        return functional.conv2d(x, weight, bias, padding=padding, dilation=(dilation, 1))

    def _layer(self, index: int) -> tuple[Tensor, Tensor]:
        """Return weight and bias of a convolution."""
        return self.get_buffer(f"weight_{index}"), self.get_buffer(f"bias_{index}")

    def _decode(self, scores: Tensor) -> Tensor:
        """Return Hz [B, F]: the mean of log frequency over the best candidate and its two neighbours."""
        # relative to the best: a mean of large logarithms would lose the last digits of the frequency
        found = self.around_best[scores.argmax(dim=-1)]
        elsewhere, log_ratios, frequency = found.split([NUM_CANDIDATES - 1, NUM_CANDIDATES - 1, 1], dim=-1)
        offset = (torch.softmax(scores + elsewhere, dim=-1) * log_ratios).sum(-1)
        return frequency.squeeze(-1) * torch.exp(offset)

    def _load(self, path: Path) -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        for index, node in enumerate(convolutions):
            # the package's graph lists the voicing branch's first layer (4 -> 4, kernel 5) before the score layer
            self._store(f"weight_{index}", values[node.input[1]])
            self._store(f"bias_{index}", values[node.input[2]])
        transforms = (self.middle, self.long, self.short)
        scatters = [node for node in graph.node if node.op_type == "ScatterElements"]
        for index, (node, window) in enumerate(zip(scatters, WINDOWS, strict=True)):
            axis = np.zeros((window // 2 + 1) * NUM_FREQUENCIES, np.float32)
            axis[values[node.input[1]]] = values[node.input[2]]
            self._store(f"axis_{index}", _widened(axis, transforms[index]))
        gathered = [node.input[0] for node in graph.node if node.op_type == "Gather" and node.input[0] in values]
        table = next(values[name] for name in gathered if values[name].dtype == np.float64)
        # for each candidate a row: very low beyond its neighbours, log ratios of these to it, its frequency
        ratios = table[None] - table[:, None]
        is_near = np.abs(np.arange(len(table)) - np.arange(len(table))[:, None]) <= 1
        rows = [np.where(is_near, 0.0, -1e9), np.where(is_near, ratios, 0.0), np.exp(table)[:, None]]
        self._store("around_best", np.concatenate(rows, axis=1).astype(np.float32))
        self.around_best: Tensor

    def _store(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(value)), persistent=False)


def widened(weight: Tensor, bias: Tensor, *, is_first: bool = False) -> tuple[Tensor, Tensor]:
    """Return a convolution with empty channels, so many that onnxruntime passes on its own layout of images.

    Args:
        weight: [out, in, height, width], at most WIDE channels.
        bias: [out].
        is_first: whether it reads what is not widened.
    """
    missing = WIDE - len(bias)
    weight = torch.cat([weight, weight.new_zeros(missing, *map(int, weight.shape[1:]))])
    if not is_first:
        sizes = list(map(int, weight.shape))
        weight = torch.cat([weight, weight.new_zeros(WIDE, WIDE - sizes[1], *sizes[2:])], dim=1)
    return weight, torch.cat([bias, bias.new_zeros(missing)])


def hint_and_scores(x: Tensor, hint: tuple[Tensor, Tensor], score: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return what two convolutions along frequency, the second of one place, make of [B, C, 95, F], as one."""
    (hint_weight, hint_bias), (score_weight, score_bias) = hint, score
    reach = hint_weight.shape[2] // 2
    beside = torch.zeros_like(hint_weight[: len(score_weight), :, :reach])
    weight = torch.cat([hint_weight, torch.cat([beside, score_weight, beside], dim=2)])
    outputs, inputs, height, width = map(int, weight.shape)
    weight = torch.cat([weight, weight.new_zeros(outputs, int(x.shape[1]) - inputs, height, width)], dim=1)
    made = functional.conv2d(x, weight, torch.cat([hint_bias, score_bias]), padding=(reach, 0))
    split: tuple[Tensor, Tensor] = made.split([len(hint_bias), len(score_bias)], dim=1)
    return split


def _hann(length: int) -> Tensor:
    return torch.hann_window(length, dtype=torch.float64).unsqueeze(0)


def _middle(frames: Tensor, length: int) -> Tensor:
    """Return the middle samples of frames [B, F, 2048]."""
    start = (FRAME - length) // 2
    return frames[:, :, start : start + length]


def _absolute(spectrum: Tensor) -> Tensor:
    """Return the absolute values of a complex tensor; torch's own take twice as long."""
    squares = torch.view_as_real(spectrum).square()
    return torch.sqrt(squares[..., 0] + squares[..., 1])


def _magnitude(spectrum: Tensor) -> Tensor:
    """Return [M, S * P] from [2, S, M, 1, P]."""
    return torch.linalg.vector_norm(spectrum.squeeze(3), dim=0).transpose(0, 1).flatten(1)


def _widened(axis: np.ndarray, transform: FrameTransform) -> np.ndarray:
    """Return [S * P, 128] from flat [bins, 128]: the transform's places above the last bin do not count."""
    missing = transform.rows * transform.num_steps - transform.num_bins
    return np.pad(axis.reshape(-1, NUM_FREQUENCIES), ((0, missing), (0, 0)))


def _model_file() -> Path:
    found = importlib.util.find_spec("swift_f0")
    if found is None or not found.submodule_search_locations:
        raise ConfigError("pitch=builtin needs the package swift-f0; type: pip install swift-f0==0.3.0")
    path = Path(next(iter(found.submodule_search_locations))) / "model.onnx"
    if not path.is_file():
        version = importlib.metadata.version("swift-f0")
        raise ConfigError(f"swift-f0 {version} carries no model.onnx; type: pip install swift-f0==0.3.0")
    return path
