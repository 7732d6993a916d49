"""A small module with the signature of a voice, to test export and inference without a trained one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.controls import Controls, bounded_controls
from utils.export.finishing import save_graph
from utils.export.graph import build_graph, control_tensors
from utils.export.tracing import GraphOptions
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.reference import Reference
from utils.verification.rules import verify
from utils.voice_file.controls import ControlDefaults
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import CONTROLS_AS_INPUTS, CONTROLS_KEY, METADATA_KEY, VoiceMetadata
from utils.voice_file.speakers import Speaker

RATE = 8000
HOP = RATE // 100
DIM = 8


class StandInVoice(nn.Module):
    """Frame energies and a learned projection steer a sine and the delayed input; every control has an effect."""

    def __init__(self, num_speakers: int = 2) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.num_speakers = num_speakers
        self.project = nn.Conv1d(1, DIM, HOP, stride=HOP, bias=False)
        nn.init.normal_(self.project.weight, std=0.3, generator=generator)
        self.register_buffer("codebook", torch.randn(num_speakers, 6, DIM, generator=generator))
        self.codebook: Tensor

    def forward(
        self,
        audio: Tensor,
        pitch_shift: Tensor,
        speaker_id: Tensor,
        index_rate: Tensor,
        protect: Tensor,
        loudness_mix: Tensor,
    ) -> Tensor:
        """Return [B, T] from audio [B, T]."""
        given = Controls(pitch_shift, speaker_id, index_rate, protect, loudness_mix)
        pitch_shift, speaker_id, index_rate, protect, loudness_mix = bounded_controls(
            given, ControlDefaults(), self.num_speakers
        )
        finite = torch.where(torch.isfinite(audio), audio, torch.zeros_like(audio)).clamp(-1.0, 1.0)
        frames = (audio.shape[1] + HOP - 1) // HOP
        whole = functional.pad(finite, (0, frames * HOP - audio.shape[1]))
        content = self.project(whole.unsqueeze(1)).transpose(1, 2)
        level = torch.sqrt(whole.reshape(audio.shape[0], frames, HOP).square().mean(-1))
        book = self.codebook.index_select(0, speaker_id.reshape(1))[0]
        values, indices = torch.topk(torch.matmul(content, book.T), 4, dim=-1)
        near = (torch.softmax(values, -1).unsqueeze(-1) * book[indices]).sum(-2)
        content = content + index_rate * (1.0 - protect) * (near - content)
        gate = (level > 1e-5).to(audio.dtype)
        gain = level * loudness_mix + 0.1 * (1.0 - loudness_mix)
        timbre = 1.0 + 0.5 * torch.tanh(content.mean(-1, keepdim=True))
        tone = self._tone(level, torch.exp2(pitch_shift / 12.0)) * timbre
        return (tone * (gain * gate).unsqueeze(-1)).reshape(audio.shape[0], -1)[:, : audio.shape[1]]

    def _tone(self, level: Tensor, ratio: Tensor) -> Tensor:
        cycles = (150.0 * ratio * (1.0 + level) / RATE).unsqueeze(-1).expand(-1, -1, HOP)
        turns = torch.cumsum(cycles.double().reshape(level.shape[0], -1), dim=1)
        phase = (2 * math.pi * (turns - torch.floor(turns))).to(level.dtype)
        return torch.sin(phase).reshape(level.shape[0], -1, HOP)


class Changed(nn.Module):
    """The stand-in with something done to its output; `change(output, audio, pitch_shift) -> output`."""

    def __init__(self, change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = StandInVoice()
        self.change = change

    def forward(self, audio: Tensor, pitch_shift: Tensor, *others: Tensor) -> Tensor:
        return self.change(self.inner(audio, pitch_shift, *others), audio, pitch_shift)


def metadata_of(name: str = "test", num_speakers: int = 2) -> VoiceMetadata:
    """Return complete metadata of a stand-in voice."""
    return VoiceMetadata(
        name=name,
        sample_rate=RATE,
        hop_length=HOP,
        n_fft=4 * HOP,
        model_rate=RATE,
        flavour="audio_to_audio",
        encoder={"id": "none"},
        pitch={"id": "none"},
        speakers=tuple(
            Speaker(id=index, name=f"speaker {index}", f0_median_hz=200.0 + index) for index in range(num_speakers)
        ),
        defaults={"pitch_shift": 0.0, "speaker_id": 0, "index_rate": 0.5, "protect": 0.33, "loudness_mix": 1.0},
        index_sha256=None,
        licence="CC0",
        consent="synthetic",
        dataset_fingerprint="none",
        step=1,
        metrics={"val/mel": 1.0},
        config="model: none\n",
    )


@dataclass(frozen=True)
class StandIn:
    """An exported module: its file, and itself as the reference."""

    path: Path
    voice: nn.Module
    idle_controls: frozenset[str] = frozenset()

    @cached_property
    def candidate(self) -> Candidate:
        return Candidate(path=self.path, extent=Extent(minutes=0, num_blocks=0, listens=False))

    @property
    def reference(self) -> Reference:
        def convert(audio: np.ndarray, values: ControlDefaults) -> np.ndarray:
            with torch.no_grad():
                output: np.ndarray = self.voice(torch.from_numpy(audio), *control_tensors(values)).numpy()
            return output

        return Reference(
            convert=convert,
            defaults=ControlDefaults(),
            sample_rate=RATE,
            num_speakers=2,
            idle_controls=self.idle_controls,
        )

    def run(self, audio: np.ndarray, **controls: float) -> np.ndarray:
        """Return the graph's output [B, T]."""
        return self.candidate.run(audio, controls)

    def verify(self) -> list[Check]:
        """Apply every rule, beside the module."""
        return verify(self.candidate, self.reference)


def export_standin(folder: Path, voice: nn.Module | None = None, options: GraphOptions | None = None) -> StandIn:
    """Export a module (default: the stand-in) into a folder."""
    module = voice if voice is not None else StandInVoice()
    path = folder / FileGeometry(name="test", sample_rate=RATE, hop_length=HOP, n_fft=4 * HOP).file_name
    options = options or GraphOptions()
    metadata = metadata_of()
    if options.controls_as_inputs:
        metadata.extra[CONTROLS_KEY] = CONTROLS_AS_INPUTS
    graph = build_graph(
        module,
        sample_rate=RATE,
        defaults=ControlDefaults(),
        options=options,
        metadata={METADATA_KEY: metadata.to_json()},
    )
    save_graph(graph, path)
    return StandIn(path, module)
