"""So-VITS-SVC: its frames out of ours, its pitch bins, padding, causality, what it refuses."""

import numpy as np
import pytest
import torch

from models.clip_random import ClipRandom
from models.layers.causal_attention import attend_to_the_past
from models.layers.sovits_encoders import quantize_f0
from models.layers.sovits_frames import frame_volume, own_frames, stretched_rows
from tests.tools.model_tools import SMALL_RVC
from utils.audio.batch import VoiceBatch
from utils.config.train import train_job
from utils.errors import ConfigError

DIM, HOP, OWN_HOP = 16, 441, 512


def small(*overrides: str) -> torch.nn.Module:
    torch.manual_seed(0)
    job = train_job(["model=sovits_4_1", "audio=sovits", *SMALL_RVC, *overrides])
    network: torch.nn.Module = job.model.build(content_dim=DIM, num_speakers=2)
    return network


def clip(frames: int, seed: int = 0) -> VoiceBatch:
    random = torch.Generator().manual_seed(seed)
    f0_hz = 150 + 50 * torch.rand(1, frames, generator=random)
    f0_hz[:, 5:9] = 0.0
    return VoiceBatch(
        audio=0.1 * torch.randn(1, frames * HOP, generator=random),
        content=torch.randn(1, frames, DIM, generator=random),
        f0_hz=f0_hz,
        loudness_db=torch.full((1, frames), -30.0),
        speaker_id=torch.tensor([1]),
        num_frames=torch.tensor([frames]),
        segment=torch.tensor([0]),
    )


def padded(batch: VoiceBatch, frames: int) -> VoiceBatch:
    more = frames - batch.f0_hz.shape[1]
    pad = torch.nn.functional.pad
    return VoiceBatch(
        audio=pad(batch.audio, (0, more * HOP)),
        content=pad(batch.content, (0, 0, 0, more)),
        f0_hz=pad(batch.f0_hz, (0, more)),
        loudness_db=pad(batch.loudness_db, (0, more), value=-80.0),
        speaker_id=batch.speaker_id,
        num_frames=batch.num_frames,
        segment=batch.segment,
    )


@pytest.mark.parametrize("frames", [40, 101, 600])
def test_units_and_pitch_are_stretched_by_their_own_ratios(frames: int) -> None:
    samples = frames * HOP
    wanted, samples_16k = samples // OWN_HOP, frames * 160
    units, pitches = (samples_16k - 400) // 320 + 1, 1 + samples_16k // 160
    raw = torch.arange(units, dtype=torch.float32).repeat_interleave(2)
    content = torch.nn.functional.pad(raw, (0, max(0, frames - len(raw))))[None, :frames, None]
    f0_hz = 100.0 + torch.arange(frames, dtype=torch.float32)[None]

    made = own_frames(content, f0_hz, torch.zeros(1, frames), torch.tensor([frames]), hop_length=HOP, own_hop=OWN_HOP)

    steps = np.arange(wanted)
    assert made.content[0, :, 0].tolist() == (steps * units // wanted).tolist()
    assert (made.f0_hz[0] - 100).tolist() == np.minimum(steps * pitches // wanted, frames - 1).tolist()


def test_pitch_is_filled_after_it_is_picked_and_voicing_kept() -> None:
    f0_hz = torch.full((1, 100), 200.0)
    f0_hz[:, 40:60] = 0.0
    f0_hz[:, 60:] = 300.0

    made = own_frames(
        torch.zeros(1, 100, 1), f0_hz, torch.zeros(1, 100), torch.tensor([100]), hop_length=HOP, own_hop=OWN_HOP
    )

    assert set(made.f0_hz[made.voiced > 0].tolist()) == {200.0, 300.0}
    between = made.f0_hz[made.voiced == 0]
    assert bool((between > 200).all()) and bool((between < 300).all()) and bool((between.diff() > 0).all())


def test_rows_that_are_not_there_get_the_last() -> None:
    rows = stretched_rows(torch.arange(4)[None], torch.tensor([9]), torch.tensor([4]), torch.tensor([5]))

    assert rows.tolist() == [[0, 2, 4, 4]]


def test_volume_is_the_root_mean_square_around_the_beginning_of_a_frame() -> None:
    audio = torch.zeros(1, 4 * OWN_HOP)
    audio[:, 2 * OWN_HOP - 256 : 2 * OWN_HOP + 256] = 0.5

    assert frame_volume(audio, OWN_HOP).tolist() == [[0.0, 0.0, 0.5, 0.0]]


def test_pitch_above_the_last_bin_goes_to_bin_0_in_4_1_alone() -> None:
    f0_hz = torch.tensor([[0.0, 50.0, 1100.0, 1150.0]])

    assert quantize_f0(f0_hz, "4.1").tolist() == [[1, 1, 255, 0]]
    assert quantize_f0(f0_hz, "4.0").tolist() == [[1, 1, 255, 255]]


def test_attention_in_blocks_is_attention_to_the_past() -> None:
    random = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 2, 37, 8, generator=random) for _ in range(3))

    made = attend_to_the_past(query, key, value, 10)

    expected = torch.nn.functional.scaled_dot_product_attention(query * 8**0.5, key, value, is_causal=True)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("overrides", [(), ("model.transformer_flow=true",), ("model.shares_flow=true",)])
def test_the_flow_has_an_inverse(overrides: tuple[str, ...]) -> None:
    voice = small(*overrides)
    random = torch.Generator().manual_seed(0)
    for coupling in voice.flow.flows[::2]:  # type: ignore[union-attr, index]
        torch.nn.init.normal_(coupling.post.weight, std=0.1, generator=random)
    latent, speaker = torch.randn(1, 16, 30, generator=random), torch.randn(1, 8, 1, generator=random)

    back = voice.flow.reverse(voice.flow(latent, speaker), speaker)  # type: ignore[operator, union-attr]

    torch.testing.assert_close(back, latent, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [("model.use_volume=true",), ("model.transformer_flow=true",)])
def test_padding_changes_neither_losses_nor_sound(overrides: tuple[str, ...]) -> None:
    voice, batch = small(*overrides), clip(60)

    short, long = (
        voice.training_pass(item, ClipRandom(0, [0]))  # type: ignore[operator]
        for item in (batch, padded(batch, 60))
    )
    whole, filled = (voice(item) for item in (batch, padded(batch, 90)))

    torch.testing.assert_close(short.terms, long.terms)
    torch.testing.assert_close(filled[:, : 50 * HOP], whole[:, : 50 * HOP], atol=1e-5, rtol=1e-4)
    terms = voice.training_pass(padded(batch, 90), ClipRandom(0, [0])).terms  # type: ignore[operator]
    torch.testing.assert_close(terms["pitch"], short.terms["pitch"], atol=1e-4, rtol=1e-3)


def test_a_predicted_pitch_needs_its_decoder() -> None:
    with pytest.raises(ConfigError, match=r"model\.automatic_f0=true needs the pitch decoder"):
        small("model.predicts_f0=false", "model.automatic_f0=true")


def test_another_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"So-VITS-SVC has 44100 Hz alone; choose audio=sovits"):
        train_job(["model=sovits_4_1", "audio=48k"]).model.build(content_dim=DIM, num_speakers=1)
