"""The default pitch tracker: SwiftF0's network as a torch module, so that it can stand inside the exported graph.

Architecture and weights: Nieradzik, "SwiftF0" (2025), MIT; tables and weights are read from the installed package
swift-f0, or the weights from a file (python -m recipes.pitch). Three spectrograms (windows of 1024, 2048 and
512 samples) on a common axis of 128 log-spaced frequencies pass through a small residual convolution network that
scores 95 pitch candidates and a voicing probability. The package works on 16 ms frames; here the same network slides
over 10 ms frames, its estimate is refined in a short window, and the voicing threshold is lower: what the package
calls unvoiced at 0.5 is mostly soft voice (benchmarks/pitch.py).
"""

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.fourier import FrameTransform, Framing
from utils.audio.frames import FEATURE_HOP
from utils.audio.reshaping import reshape
from utils.errors import ConfigError
from utils.features.content.builtin import WEIGHTS_FOLDER, read_weights
from utils.features.pitch.base import MAX_F0_HZ, MIN_F0_HZ
from utils.features.pitch.network import NUM_CANDIDATES, NUM_FREQUENCIES, PitchNetwork
from utils.features.pitch.refinement import HarmonicRefinement, refinement_windows
from utils.files import sha256_of_file
from utils.shipped import checked_sha256, find_shipped

WINDOWS = (1024, 2048, 512)
FRAME = max(WINDOWS)
BUILTIN = "pitch_builtin.safetensors"
BEYOND = 1  # frame like the first and the last that the network sees beyond each
CHUNK = 128  # frames whose FFTs are taken at once: what they make stays in the cache
EXPECTED_SHA256 = "6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22"
BAND = 32  # columns of the axis that are computed together: two octaves
SILENCE_PEAK = 1e-3  # below this level the package itself calls a frame unvoiced


class Band(NamedTuple):
    """A part of a table outside of whose rows its columns are zero."""

    rows: slice
    columns: slice


class SwiftPitch(nn.Module):
    """Pitch and voicing from 16 kHz audio.

    Args:
        voicing_threshold: a frame is voiced when its probability is at least this.
        weights: name of a shipped file or path of another network; None: SwiftF0's own.
    Raises:
        ConfigError: if a setting is out of range, the package is missing or another, or the file is no network of it.
    """

    is_exportable = True

    def __init__(self, *, voicing_threshold: float = 0.38, weights: str | None = None) -> None:
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
        own = self._load(path)
        self.bands = [_bands(self.get_buffer(f"axis_{index}")) for index in range(len(WINDOWS))]
        file = None if weights is None else _find(weights)
        self.network = PitchNetwork(own if file is None else _read(file, own))
        self.weights_sha256 = None if file is None else checked_sha256(file)
        self.requires_grad_(False)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        if self.weights_sha256 is None:
            named = {"id": "swift_f0", "version": 4, "weights_sha256": EXPECTED_SHA256}
        else:
            named = {
                "id": "swift_f0_narrow",
                "version": 2,
                "weights_sha256": self.weights_sha256,
                "tables_sha256": EXPECTED_SHA256,
            }
        return {**named, "voicing_threshold": self.voicing_threshold}

    def forward(self, audio: Tensor) -> Tensor:
        """Return f0 in Hz [B, F], 0 where unvoiced, from audio [B, F * 160] at 16 kHz."""
        return self._estimate(*self.analyse(audio))

    def _estimate(self, frames: Tensor, short: Tensor, spectra: Tensor) -> Tensor:
        """Return f0 in Hz [B, F] from what analyse returns."""
        scores, voicing = self._network(spectra)
        f0_hz = self.refinement(self._decode(scores).flatten(), short).reshape(frames.shape[0], -1)
        # the peak of a frame's 32 ms: where there is no sound, but for a constant, the network reads what its spectra
        # round to
        sound = _middle(frames, 512)
        peak = (sound - sound.mean(dim=-1, keepdim=True)).abs().amax(dim=-1)
        voiced = (torch.sigmoid(voicing) >= self.voicing_threshold) & (peak >= SILENCE_PEAK)
        voiced = voiced & (f0_hz >= MIN_F0_HZ) & (f0_hz <= MAX_F0_HZ)
        return torch.where(voiced, f0_hz, f0_hz.new_zeros(()))

    def _network(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network finds in [B, 3, 128, F], the frames at both ends held beyond them.

        Its convolutions over time would read zeros there: the logarithm of a loud noise, so that the first and the last
        frame of everything came out unvoiced.
        """
        scores, voicing = self.network(functional.pad(spectra, (BEYOND, BEYOND, 0, 0), mode="replicate"))
        return scores[:, BEYOND:-BEYOND], voicing[:, BEYOND:-BEYOND]

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
        if by_fft:
            frames = padded.unfold(1, FRAME, FEATURE_HOP)
            parts = [self._by_fft(part) for part in frames.split(CHUNK, dim=1)]
            short, spectra = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
            short = short.flatten(0, 1)
        else:
            frames = self.framing(padded)
            maps, short = self._maps(frames)
            tables = [self.get_buffer(f"axis_{index}") for index in range(len(WINDOWS))]
            axes = [torch.matmul(spectrum, table) for spectrum, table in zip(maps, tables, strict=True)]
            spectra = _as_read(axes, audio.shape[0])
        return frames, short, spectra.permute(0, 2, 3, 1)

    def _by_fft(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fields of the refinement [B, F, 4, bins] and the spectra [B, F, 3, 128] of frames [B, F, 2048]."""
        maps, short = self._maps_by_fft(frames)
        axes = []
        for index, (spectrum, bands) in enumerate(zip(maps, self.bands, strict=True)):
            table = self.get_buffer(f"axis_{index}")
            parts = [torch.matmul(spectrum[:, band.rows], table[band.rows, band.columns]) for band in bands]
            axes.append(torch.cat(parts, dim=1))
        return short.unflatten(0, (frames.shape[0], -1)), _as_read(axes, frames.shape[0])

    def _maps_by_fft(self, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return magnitudes [M, bins] under each of WINDOWS and the fields of the refinement [M, 4, bins]."""
        middle, long, short = (
            torch.fft.rfft(_middle(frames, length).unsqueeze(2) * self.get_buffer(f"window_{index}")).flatten(0, 1)
            for index, length in enumerate(WINDOWS)
        )
        maps = [_absolute(spectrum[:, 0]) for spectrum in (middle, long, short)]
        return maps, torch.view_as_real(short).transpose(2, 3).flatten(1, 2)

    def _maps(self, frames: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return what _maps_by_fft returns, by matrix products; values above the last bin do not count."""
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

    def _decode(self, scores: Tensor) -> Tensor:
        """Return Hz [B, F]: the mean of log frequency over the best candidate and its two neighbours."""
        # relative to the best: a mean of large logarithms would lose the last digits of the frequency
        found = self.around_best[scores.argmax(dim=-1)]
        elsewhere, log_ratios, frequency = found.split([NUM_CANDIDATES - 1, NUM_CANDIDATES - 1, 1], dim=-1)
        offset = (torch.softmax(scores + elsewhere, dim=-1) * log_ratios).sum(-1)
        return frequency.squeeze(-1) * torch.exp(offset)

    def _load(self, path: Path) -> dict[str, Tensor]:
        """Store the tables of the package's graph; return the weights of its network."""
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        weights = {}
        for index, node in enumerate(convolutions):
            # the package's graph lists the voicing branch's first layer (4 -> 4, kernel 5) before the score layer
            weights[f"weight_{index}"] = torch.tensor(values[node.input[1]])
            weights[f"bias_{index}"] = torch.tensor(values[node.input[2]])
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
        return weights

    def _store(self, name: str, value: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(value)), persistent=False)


def builtin_tracker() -> SwiftPitch:
    """Return the tracker of pitch=builtin."""
    return SwiftPitch(weights=BUILTIN)


def _bands(table: Tensor) -> list[Band]:
    """Return, for each few columns of a table [bins, 128], the rows that are not zero in all of them."""
    bands = []
    for start in range(0, NUM_FREQUENCIES, BAND):
        columns = slice(start, start + BAND)
        used = table[:, columns].any(dim=1).nonzero().flatten()
        bands.append(Band(slice(int(used[0]), int(used[-1]) + 1), columns))
    return bands


def _as_read(axes: list[Tensor], batch: int) -> Tensor:
    """Return logarithms [batch, F, 3, 128] of three magnitudes [batch * F, 128]."""
    return torch.log(torch.cat(axes, dim=1) + 1e-8).reshape(batch, -1, 3, NUM_FREQUENCIES)


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
    """Return [S * P, 128] from flat [bins, 128]: the transform's values above the last bin do not count."""
    missing = transform.rows * transform.num_steps - transform.num_bins
    return np.pad(axis.reshape(-1, NUM_FREQUENCIES), ((0, missing), (0, 0)))


def _find(weights: str) -> Path:
    path = find_shipped(weights, WEIGHTS_FOLDER) or Path(weights).expanduser()
    if not path.is_file() and not path.is_relative_to(WEIGHTS_FOLDER):
        raise ConfigError(f"pitch.weights={weights} is not a file; leave it out for the network of pitch=builtin")
    return path


def _read(path: Path, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a file; their layers must be those of SwiftF0 but for the number of channels."""
    stored = read_weights(path)[1]
    if {name: value.shape[2:] for name, value in stored.items()} != {n: value.shape[2:] for n, value in own.items()}:
        raise ConfigError(f"pitch.weights={path} is no network of this tracker; python -m recipes.pitch makes one")
    return stored


def _model_file() -> Path:
    found = importlib.util.find_spec("swift_f0")
    if found is None or not found.submodule_search_locations:
        raise ConfigError("pitch=builtin needs the package swift-f0; type: pip install swift-f0==0.3.0")
    path = Path(next(iter(found.submodule_search_locations))) / "model.onnx"
    if not path.is_file():
        version = importlib.metadata.version("swift-f0")
        raise ConfigError(f"swift-f0 {version} carries no model.onnx; type: pip install swift-f0==0.3.0")
    return path
