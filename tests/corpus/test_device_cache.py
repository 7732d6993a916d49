"""Batches from the device's memory are those of the loader; settings of the data reach the segments."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.batch import VoiceBatch
from utils.audio.synthetic_speech import voice
from utils.corpus import device_cache
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.corpus.voice_augmentation import AugmentationSettings
from utils.errors import ConfigError

BATCH = 4
VOICES = AugmentationSettings(voice_share=1.0, pitch_semitones=2.0, formant_percent=3.0, speed_percent=5.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dataset")
    sounds = {f"anna/{i}.wav": voice(s, f0_hz=200, seed=i) for i, s in enumerate([3.0, 2.0, 0.4, 1.3, 2.4])}
    sounds |= {f"bob/{i}.wav": voice(1.5, f0_hz=100, seed=10 + i) for i in range(4)}
    write_sounds(place / "source", sounds)
    prepare_dataset(make_job(place / "source", place / "data", "preprocess.content_noise_db=[15]"))
    return place / "data"


def module(folder: Path, **settings: Any) -> VoiceDataModule:
    values = {"segment_frames": 100, "num_workers": 0, "seed": 1, "perturbed_share": 0.5, "val_segment_frames": 150}
    return VoiceDataModule(CorpusStore.open(folder), batch_size=BATCH, **(values | settings))


def batches(data: VoiceDataModule, count: int) -> list[VoiceBatch]:
    loader = iter(data.train_dataloader())
    return [next(loader) for _ in range(count)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"segment_frames": 250},
        {"segment_frames": 250, "bucketing": False},
        {"segment_frames": None},
        {"augmentation": AugmentationSettings(noise_share=0.5, gain_up_db=3.0)},
        {"speaker_weights": {"bob": 4.0}, "perturbed_share": 0.0},
    ],
    ids=["default", "long segments", "no buckets", "whole clips", "noise", "weights"],
)
def test_cache_gives_the_batches_of_the_loader_over_several_epochs(folder: Path, settings: dict[str, Any]) -> None:
    loaded = batches(module(folder, **settings), 20)
    cached = batches(module(folder, device_cache=True, **settings), 20)

    for one, other in zip(loaded, cached, strict=True):
        for name, value in vars(one).items():
            assert value.dtype == getattr(other, name).dtype, name
            assert torch.equal(value, getattr(other, name)), name


def test_cached_training_is_resumed_where_it_was(folder: Path) -> None:
    unbroken = batches(module(folder, device_cache=True), 5)
    resumed = module(folder, device_cache=True)
    resumed.start_step = 3

    for one, other in zip(unbroken[3:], batches(resumed, 2), strict=True):
        assert torch.equal(one.audio, other.audio)


def test_dataset_that_does_not_fit_is_refused_with_its_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_cache, "free_memory", lambda device: 300_000)
    store = CorpusStore.open(folder)
    names = ("waveform", "f0_hz", "loudness_db", "content", "content_perturbed_0", "content_perturbed_1")
    needed = sum(store.arrays.num_bytes(name) for name in names) / 1e6

    with pytest.raises(ConfigError) as caught:
        module(folder, device_cache=True).train_dataloader()

    assert f"data.device_cache=true needs {needed:.1f} MB on cpu, where 0.3 MB are free" in str(caught.value)
    assert "set data.device_cache=false" in str(caught.value) and "\n" not in str(caught.value)


def test_free_memory_of_this_machine_is_known() -> None:
    assert 1 << 20 < device_cache.free_memory(torch.device("cpu")) < 1 << 50


def test_changes_of_voice_are_refused_with_the_cache(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"device_cache=true cannot change voices.*voice_share=0"):
        module(folder, device_cache=True, augmentation=VOICES).train_dataloader()


def test_share_of_a_copy_that_the_dataset_lacks_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"augmentation.room_share=0.2: .*data has no.*content_room_seconds=\[0.4\]"):
        module(folder, augmentation=AugmentationSettings(room_share=0.2)).train_dataloader()


def test_changed_voices_do_not_depend_on_workers_micro_batches_and_devices(folder: Path) -> None:
    examples = module(folder, augmentation=VOICES).examples
    shared = batches(module(folder, augmentation=VOICES, num_workers=2), 3)

    for batch in shared:
        for row, number in enumerate(batch.segment.tolist()):
            alone = examples[number]
            assert torch.equal(batch.audio[row, : len(alone.audio)], torch.from_numpy(alone.audio))
            assert torch.equal(batch.f0_hz[row, : len(alone.f0_hz)], torch.from_numpy(alone.f0_hz))


@pytest.mark.parametrize("segment_frames", [100, 170, None])
def test_changed_voices_fit_their_examples(folder: Path, segment_frames: int | None) -> None:
    examples = module(folder, augmentation=VOICES, segment_frames=segment_frames).examples

    for update in range(10):
        made = [examples[number] for number in range(BATCH * update, BATCH * (update + 1))]

        assert len({len(item.f0_hz) for item in made}) == 1
        assert all(len(item.audio) == 160 * len(item.f0_hz) == 160 * len(item.content) for item in made)
        assert all(0 < item.num_frames <= len(item.f0_hz) for item in made)
        assert all(np.isfinite(item.audio).all() and not item.audio[160 * item.num_frames :].any() for item in made)


def test_changed_voice_keeps_its_pitch_track(folder: Path) -> None:
    settings = AugmentationSettings(voice_share=1.0, pitch_semitones=2.0)
    changed, plain = (module(folder, augmentation=item).examples for item in (settings, None))

    ratios = [one.f0_hz[one.f0_hz > 0] / other.f0_hz[other.f0_hz > 0] for one, other in
              ((changed[number], plain[number]) for number in range(30))]  # fmt: skip

    factors = np.array([np.median(ratio) for ratio in ratios if len(ratio)])
    assert all(np.ptp(ratio) < 1e-4 for ratio in ratios if len(ratio))
    assert 2 ** (-1 / 6) <= factors.min() < 0.95 and 1.05 < factors.max() <= 2 ** (1 / 6)


def test_batch_that_moves_to_a_device_takes_its_draws_along(folder: Path) -> None:
    data = module(folder)
    batch = batches(data, 1)[0]

    moved = data.transfer_batch_to_device(batch, torch.device("cpu"), 0)

    assert torch.equal(moved.segment, torch.arange(BATCH))


def test_cache_lies_on_the_device_of_the_trainer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = module(folder, device_cache=True)
    strategy = SimpleNamespace(root_device=torch.device("meta"))
    data.trainer = SimpleNamespace(strategy=strategy, global_rank=0, world_size=1)  # type: ignore[assignment]
    monkeypatch.setattr(device_cache, "free_memory", lambda device: 0 if device.type == "meta" else 1 << 40)

    with pytest.raises(ConfigError, match="on meta"):
        data.train_dataloader()
