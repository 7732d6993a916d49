"""Augmentation of a training batch follows from the seed and the segments; the learning rate from the step."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from utils.audio.batch import VoiceBatch
from utils.config import AudioConfig
from utils.config.train import train_job
from utils.features.content.base import normalize_content
from utils.features.retrieval import CodebookRetrieval
from utils.training.assembly import learning_rate_factor
from utils.training.batch_augmentation import BatchAugmentation
from utils.training.losses import MelDistance, MultiResolutionMelLoss


def batch_of(size: int = 6) -> VoiceBatch:
    generator = torch.Generator().manual_seed(0)
    return VoiceBatch(
        audio=0.1 * torch.randn(size, 800, generator=generator),
        content=normalize_content(torch.randn(size, 5, 8, generator=generator)),
        f0_hz=torch.full((size, 5), 100.0),
        loudness_db=torch.full((size, 5), -30.0),
        speaker_id=torch.zeros(size, dtype=torch.int64),
        num_frames=torch.full((size,), 5),
        segment=torch.arange(size),
    )


def make(seed: int = 1, retrieval_share: float = 0.5, with_retrieval: bool = True) -> BatchAugmentation:
    codebook = normalize_content(torch.randn(1, 20, 8, generator=torch.Generator().manual_seed(9)))
    return BatchAugmentation(
        CodebookRetrieval(codebook) if with_retrieval else None,
        retrieval_share=retrieval_share,
        gain_down_db=12.0,
        gain_up_db=6.0,
        seed=seed,
    )


def test_same_seed_and_draws_give_the_same_batch_whatever_happened_before() -> None:
    first = make()(batch_of())
    other = make()
    other(part_of(batch_of(), slice(2, 4)))
    torch.manual_seed(99)
    torch.rand(5)

    second = other(batch_of())

    for key in ("audio", "content", "loudness_db"):
        assert torch.equal(getattr(first, key), getattr(second, key)), key


@pytest.mark.parametrize(
    "parts",
    [[slice(0, 3), slice(3, 6)], [slice(0, 6, 2), slice(1, 6, 2)], [slice(4, 6), slice(0, 1), slice(1, 4)]],
    ids=["two micro-batches", "two devices", "parts in any order"],
)
def test_example_is_changed_alike_in_whatever_micro_batch_and_on_whatever_device(parts: list[slice]) -> None:
    whole = make()(batch_of())

    for part in parts:
        changed = make()(part_of(batch_of(), part))

        assert torch.equal(changed.audio, whole.audio[part])
        assert torch.equal(changed.loudness_db, whole.loudness_db[part])
        assert_close(changed.content, whole.content[part], atol=1e-6, rtol=0)


def part_of(batch: VoiceBatch, part: slice) -> VoiceBatch:
    return VoiceBatch(**{key: value[part] for key, value in vars(batch).items()})


@pytest.mark.parametrize(("seed", "first_draw"), [(1, 6), (2, 0)])
def test_another_seed_or_draw_gives_another_batch(seed: int, first_draw: int) -> None:
    other = batch_of()
    other.segment = other.segment + first_draw

    first, second = make()(batch_of()), make(seed)(other)

    assert (first.audio - second.audio).abs().max().item() > 1e-3


def test_global_generator_is_left_alone() -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)

    make()(batch_of())

    assert_close(torch.rand(3), expected)


def test_audio_and_loudness_move_by_the_same_decibels_within_the_range() -> None:
    batch = batch_of(200)

    changed = make()(batch)

    gain_db = (changed.loudness_db - batch.loudness_db)[:, :1]
    assert_close(changed.audio, batch.audio * 10 ** (gain_db / 20), atol=1e-6, rtol=1e-4)
    assert -12.0 <= gain_db.min().item() < -10.0
    assert 4.0 < gain_db.max().item() <= 6.0


def test_pitch_and_speaker_stay() -> None:
    batch = batch_of()

    changed = make()(batch)

    assert torch.equal(changed.f0_hz, batch.f0_hz)
    assert torch.equal(changed.speaker_id, batch.speaker_id)


def test_given_batch_is_not_changed_in_place() -> None:
    batch, untouched = batch_of(), batch_of()

    make(retrieval_share=1.0)(batch)

    assert torch.equal(batch.audio, untouched.audio)
    assert torch.equal(batch.content, untouched.content)


@pytest.mark.parametrize(("share", "with_retrieval"), [(0.0, True), (1.0, False)])
def test_content_stays_without_retrieval(share: float, with_retrieval: bool) -> None:
    batch = batch_of()

    changed = make(retrieval_share=share, with_retrieval=with_retrieval)(batch)

    assert torch.equal(changed.content, batch.content)


def test_share_of_the_clips_is_blended_and_keeps_its_length() -> None:
    batch = batch_of(400)

    changed = make(retrieval_share=0.3)(batch)

    touched = (changed.content - batch.content).abs().amax(dim=(1, 2)) > 1e-4
    assert touched.float().mean().item() == pytest.approx(0.3, abs=0.07)
    assert_close(changed.content.norm(dim=-1), torch.full((400, 5), math.sqrt(8)), atol=1e-3, rtol=0)


def test_content_of_other_lengths_is_blended_alike_and_keeps_them() -> None:
    batch, long = batch_of(), batch_of()
    lengths = torch.linspace(0.1, 9.0, 6).view(6, 1, 1)
    long.content.mul_(lengths)

    plain, scaled = (make(retrieval_share=1.0)(item).content for item in (batch, long))

    assert (plain - batch.content).abs().max().item() > 0.1
    assert_close(scaled, lengths * plain, rtol=1e-4, atol=1e-5)


def test_silence_stays_at_the_loudness_floor() -> None:
    batch = batch_of(50)
    batch.loudness_db.fill_(-80.0)

    assert make()(batch).loudness_db.min().item() == -80.0


def test_learning_rate_rises_then_halves() -> None:
    config = train_job(["optim.warmup_steps=4", "optim.schedule.half_life_steps=100"])
    factor = learning_rate_factor(config)

    warm = [factor(step) for step in range(4)]

    decay = [2 ** (-step / 100) for step in range(4)]
    assert warm == pytest.approx([0.25 * decay[0], 0.5 * decay[1], 0.75 * decay[2], decay[3]])
    assert factor(100) == pytest.approx(0.5)
    assert factor(300) == pytest.approx(0.125)


def test_without_warm_up_the_rate_starts_whole() -> None:
    assert learning_rate_factor(train_job(["optim.warmup_steps=0"]))(0) == 1.0


def losses() -> list[nn.Module]:
    audio = AudioConfig(sample_rate=24000, hop_length=240, n_fft=960, n_mels=100, f_min=0.0, f_max=12000.0)
    return [MultiResolutionMelLoss(sample_rate=24000), MelDistance(audio)]


@pytest.mark.parametrize("which", [0, 1], ids=["multi-resolution", "validation"])
def test_spectral_distance_of_a_signal_to_itself_is_zero_and_grows_with_its_gain(which: int) -> None:
    loss = losses()[which]
    audio: Tensor = 0.1 * torch.randn(2, 9600, generator=torch.Generator().manual_seed(0))

    same, twice, four = (loss(audio * gain, audio).mean().item() for gain in (1.0, 2.0, 4.0))

    # a logarithm of magnitudes: a factor of 2 is 0.693 in every band above the floor
    assert same == 0.0
    assert twice == pytest.approx(math.log(2), rel=0.01)
    assert four == pytest.approx(math.log(4), rel=0.01)
