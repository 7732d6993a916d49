"""The five controls of a conversion, seen by a model that writes down what it was given."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from models.layers.controls import Controls, bounded_controls
from utils.audio.resample import RationalResampler
from utils.voice_file.controls import CONTROLS, ControlDefaults

FRAMES, HOP = 6, 160
F0_HZ = torch.tensor([[0.0, 100.0, 200.0, 300.0, 0.0, 250.0]])


class FixedAnalysis(nn.Module):
    """Content, pitch and loudness that do not depend on the audio."""

    def __init__(self, loudness_db: float = -20.0) -> None:
        super().__init__()
        self.loudness_db = loudness_db

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = len(audio)
        content = torch.tensor([1.0, 1.0, 0.0, 0.0]) * 2**0.5
        return (
            content.expand(count, FRAMES, 4),
            F0_HZ.expand(count, -1),
            torch.full((count, FRAMES), self.loudness_db),
        )


class OtherContent(nn.Module):
    """Retrieval that always returns the same other vector, and remembers the speaker."""

    def forward(self, content: Tensor, speaker_id: Tensor, share: Tensor | None = None) -> Tensor:
        return (torch.tensor([0.0, 0.0, 1.0, 1.0]) * 2**0.5).expand_as(content)


class Recorder(BaseVoiceConversionModel):
    """Gives a constant level and keeps its arguments."""

    def __init__(self, level: float = 0.1) -> None:
        super().__init__(sample_rate=16000, content_dim=4, num_speakers=3)
        self.level = level
        self.frontend = FixedAnalysis()
        self.retrieval: nn.Module | None = None

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        self.content, self.f0_hz, self.speaker_id = content, f0_hz, speaker_id
        return torch.full((len(content), FRAMES * HOP), self.level)


def make(*, loudness_db: float = -20.0, with_retrieval: bool = True, level: float = 0.1) -> Recorder:
    model = Recorder(level)
    model.frontend = FixedAnalysis(loudness_db)
    model.retrieval = OtherContent() if with_retrieval else None
    return model


def converter(model: Recorder) -> AudioConverter:
    return AudioConverter(model, model.frontend, model.retrieval, RationalResampler(16000, 16000))


def run(
    model: Recorder,
    *,
    pitch_shift: float = 0.0,
    speaker_id: int = 0,
    index_rate: float = 0.0,
    protect: float = 0.5,
    loudness_mix: float = 1.0,
    level: float = 0.3,
    batch: int = 1,
) -> Tensor:
    values = [torch.tensor(value) for value in (pitch_shift, speaker_id, index_rate, protect, loudness_mix)]
    return converter(model)(torch.full((batch, FRAMES * HOP), level), *values)


@pytest.mark.parametrize(("semitones", "factor"), [(0.0, 1.0), (12.0, 2.0), (-12.0, 0.5), (7.0, 1.498307)])
def test_pitch_shift_moves_voiced_frames_by_semitones(semitones: float, factor: float) -> None:
    model = make()

    run(model, pitch_shift=semitones)

    assert_close(model.f0_hz, F0_HZ * factor, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("asked", "used"), [(0, 0), (2, 2), (3, 2), (99, 2), (-1, 0)])
def test_speaker_outside_the_voice_is_the_nearest_one(asked: int, used: int) -> None:
    model = make()

    run(model, speaker_id=asked, batch=2)

    assert model.speaker_id.tolist() == [used, used]


def test_index_rate_zero_equals_no_retrieval() -> None:
    with_retrieval, without = make(), make(with_retrieval=False)

    run(with_retrieval, index_rate=0.0)
    run(without, index_rate=1.0)

    assert_close(with_retrieval.content, without.content, atol=1e-6, rtol=0)


def test_a_voice_names_the_controls_that_do_nothing() -> None:
    deaf, alone = make(), make(with_retrieval=False)
    deaf.use_f0, alone.num_speakers = False, 1

    assert converter(make()).idle_controls == set()
    assert converter(deaf).idle_controls == {"pitch_shift"}
    assert converter(alone).idle_controls == {"index_rate", "protect", "speaker_id"}


def test_index_rate_one_is_all_retrieved() -> None:
    model = make()

    run(model, index_rate=1.0)

    assert_close(model.content, OtherContent()(model.content, model.speaker_id), atol=1e-5, rtol=0)


def test_blended_content_keeps_its_length() -> None:
    model = make()

    run(model, index_rate=0.5)

    # half of each of two vectors at a right angle, scaled back to the length sqrt(4) = 2
    assert_close(model.content, torch.ones(1, FRAMES, 4), atol=1e-5, rtol=0)


def test_protect_spares_unvoiced_frames() -> None:
    model = make()

    run(model, index_rate=1.0, protect=0.0)

    voiced = F0_HZ[0] > 0
    assert_close(model.content[0, ~voiced], FixedAnalysis()(torch.zeros(1))[0][0, ~voiced], atol=1e-5, rtol=0)
    assert_close(model.content[0, voiced, :2], torch.zeros(4, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("value", [-3.0, 1.7])
def test_index_rate_out_of_range_is_cut(value: float) -> None:
    model, cut = make(), make()

    run(model, index_rate=value)
    run(cut, index_rate=min(1.0, max(0.0, value)))

    assert_close(model.content, cut.content, atol=0, rtol=0)


def test_loudness_mix_zero_imposes_the_input_s_level() -> None:
    converted = run(make(level=0.1), loudness_mix=0.0, level=0.3)

    assert_close(converted, torch.full_like(converted, 0.3), atol=1e-3, rtol=0)


def test_loudness_mix_one_keeps_the_model_s_level() -> None:
    converted = run(make(level=0.1), loudness_mix=1.0, level=0.3)

    assert_close(converted, torch.full_like(converted, 0.1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("loudness_db", "share"), [(-80.0, 0.0), (-72.0, 0.0), (-69.0, 0.5), (-66.0, 1.0), (-20.0, 1.0)]
)
def test_output_fades_in_between_silence_and_six_db_above(loudness_db: float, share: float) -> None:
    converted = run(make(loudness_db=loudness_db, level=0.1))

    assert_close(converted, torch.full_like(converted, 0.1 * share), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("given", "counts"),
    [(float("nan"), (0.0, 0, 0.5, 0.33, 1.0)), (1e9, (36.0, 2, 1.0, 0.5, 1.0)), (-1e9, (-36.0, 0, 0.0, 0.0, 0.0))],
)
def test_controls_are_cut_to_the_ranges_of_the_table_and_nan_is_the_default(
    given: float, counts: tuple[float, ...]
) -> None:
    speaker_id = torch.tensor(0 if given != given else int(given))
    sent = Controls(torch.tensor(given), speaker_id, *(torch.tensor(given) for _ in range(3)))

    bounded = bounded_controls(sent, ControlDefaults(), 3)

    assert Controls._fields == tuple(control.name for control in CONTROLS)
    assert tuple(bounded) == pytest.approx(counts)
