"""The architectures of other programs as graphs: equal to the network at every length."""

from pathlib import Path

import pytest
import torch

from models.conversion import AudioConverter
from tests.tools.corpus_tools import described
from tests.tools.model_tools import small_model
from utils.audio.resample import RationalResampler
from utils.config.train import train_job
from utils.export.graph import build_graph, control_tensors
from utils.export.tracing import GraphOptions
from utils.features.content.builtin import RandomContent
from utils.features.frontend import AnalysisFrontend, AudioFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.training.checkpoints import build_generator
from utils.verification.candidate import Candidate
from utils.verification.signals import speech_like
from utils.voice_file.controls import ControlDefaults, controls_with

DIM, IO_RATE = 16, 24000
SOVITS = {
    "plain": (),
    "volume and separable": ("model.use_volume=true", "model.is_separable=true"),
    "snake and shared": ("model.use_snakes=true", "model.shares_flow=true"),
    "transformer": ("model.transformer_flow=true",),
}
CASES = {"rvc_mrf_48k": (), "rvc_refinegan_24k": (), "vits_vc": ()} | {
    f"sovits_4_1 {name}": given for name, given in SOVITS.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_graph_equals_the_network_at_any_length(case: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    job = train_job([*small_model(case.split(" ")[0]), *CASES[case]])
    model = build_generator(job.model, described("a", "b", content={}, content_dim=DIM))
    frontend = (
        AudioFrontend(IO_RATE, model.sample_rate)
        if model.reads_audio
        else AnalysisFrontend(RandomContent(dim=DIM), builtin_tracker(), IO_RATE)
    )
    voice = AudioConverter(model, frontend, None, RationalResampler(model.sample_rate, IO_RATE)).eval()
    voice.requires_grad_(False)

    graph = build_graph(voice, sample_rate=IO_RATE, defaults=ControlDefaults(), options=GraphOptions(), metadata={})

    path = tmp_path / "small.onnx"
    path.write_bytes(graph.SerializeToString())
    candidate = Candidate(path=path)
    assert candidate.controls == {control.name for control in controls_with(voice.special_controls)}
    given = dict.fromkeys(voice.special_controls, 1)
    # the last is longer than a block of the attention
    for length, special in ((100, {}), (12_345, given), (7 * IO_RATE, {})):
        audio = speech_like(IO_RATE, length, seed=1)[None]
        values = control_tensors(ControlDefaults(**special), voice.special_controls)
        expected = voice(torch.from_numpy(audio), *values)
        difference = torch.from_numpy(candidate.run(audio, special)) - expected
        assert float(difference.abs().max()) <= 1e-3 * float(expected.abs().max()) + 1e-6, length
