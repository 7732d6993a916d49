"""Examples and batches for training."""

import dataclasses
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from tests.tools.corpus_tools import make_job, write_sounds
from tests.tools.process_tools import run_alone
from utils.audio.batch import VoiceBatch
from utils.audio.synthetic_speech import voice
from utils.corpus.datamodule import STOP_SIGNALS, StepSampler, VoiceDataModule
from utils.corpus.dataset import VoiceConversionDataset, WholeClips, collate
from utils.corpus.manifest import Clip
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.errors import DataError, FormatError

SEGMENT = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers; anna has long and short recordings."""
    place = tmp_path_factory.mktemp("dataset")
    lengths = [4.0, 3.0, 0.3, 2.0, 1.5]
    write_sounds(place / "source/anna", {f"{i}.wav": voice(s, f0_hz=200, seed=i) for i, s in enumerate(lengths)})
    write_sounds(place / "source/bob", {f"{i}.wav": voice(2.0, f0_hz=100, seed=10 + i) for i in range(3)})
    prepare_dataset(make_job(place / "source", place / "data"))
    return place / "data"


@pytest.fixture(scope="module")
def store(folder: Path) -> CorpusStore:
    return CorpusStore.open(folder)


def module(folder: Path, *, seed: int = 1, num_workers: int = 0, pin_memory: bool = False) -> VoiceDataModule:
    return VoiceDataModule(
        CorpusStore.open(folder),
        batch_size=3,
        segment_frames=SEGMENT,
        num_workers=num_workers,
        pin_memory=pin_memory,
        seed=seed,
        perturbed_share=0.5,
        val_segment_frames=150,
    )


def batches(data: VoiceDataModule, count: int) -> list[VoiceBatch]:
    loader = iter(data.train_dataloader())
    return [next(loader) for _ in range(count)]


def assert_equal(first: VoiceBatch, second: VoiceBatch) -> None:
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name)), name


def test_batch_has_the_shapes_and_types_of_the_contract(folder: Path, store: CorpusStore) -> None:
    batch = batches(module(folder), 1)[0]

    assert batch.audio.shape == (3, SEGMENT * store.audio.hop_length)
    assert batch.content.shape == (3, SEGMENT, store.content_dim)
    assert batch.f0_hz.shape == batch.loudness_db.shape == (3, SEGMENT)
    assert {value.dtype for value in (batch.audio, batch.content, batch.f0_hz, batch.loudness_db)} == {torch.float32}
    assert batch.speaker_id.dtype == batch.num_frames.dtype == batch.segment.dtype == torch.int64


def test_resumed_training_gets_the_batches_that_an_unbroken_one_would(folder: Path) -> None:
    unbroken = batches(module(folder), 5)
    resumed = module(folder)
    resumed.start_step = 3

    for first, second in zip(unbroken[3:], batches(resumed, 2), strict=True):
        assert_equal(first, second)


def test_batches_are_pinned_tensor_by_tensor_where_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    batch = batches(module(folder), 1)[0]

    pinned = batch.pin_memory()

    for item in dataclasses.fields(batch):
        assert torch.equal(getattr(pinned, item.name), getattr(batch, item.name) + 1)
    assert module(folder, pin_memory=True).train_dataloader().pin_memory


def test_batch_names_the_segment_of_each_example(folder: Path) -> None:
    data = module(folder)
    examples = data.examples

    numbers = [batch.segment.tolist() for batch in batches(data, 2)]

    assert numbers == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(batches(data, 2)[1].content[2], torch.from_numpy(examples[5].content))


def test_loading_processes_do_not_change_the_batches(folder: Path) -> None:
    for first, second in zip(batches(module(folder), 3), batches(module(folder, num_workers=2), 3), strict=True):
        assert_equal(first, second)


def test_another_seed_gives_other_batches(folder: Path) -> None:
    first, second = (batches(module(folder, seed=seed), 1)[0] for seed in (1, 2))

    assert not torch.equal(first.audio, second.audio)


def test_devices_share_the_draws_without_overlap() -> None:
    alone = iter(StepSampler(4, start_step=2))
    ranks = [iter(StepSampler(4, start_step=2, rank=rank, world_size=2)) for rank in (0, 1)]

    for _ in range(3):
        assert next(alone) == [*next(ranks[0]), *next(ranks[1])]


@pytest.mark.slow
def test_every_frame_is_chosen_equally_often(store: CorpusStore) -> None:
    examples = VoiceConversionDataset(store, "train", segment_frames=SEGMENT, seed=0)
    chosen = {clip.id: 0 for clip in examples.clips}
    for index in range(2000):
        # where in which clip is not part of an example: find it by its sound
        sound = examples[index]
        clip = next(c for c in examples.clips if contains(store, c, sound.audio, sound.num_frames))
        chosen[clip.id] += sound.num_frames

    shares = [chosen[clip.id] / clip.num_frames for clip in examples.clips]
    assert np.std(shares) / np.mean(shares) < 0.15


def contains(store: CorpusStore, clip: Clip, audio: np.ndarray, num_frames: int) -> bool:
    hop = store.audio.hop_length
    whole = store.waveform(clip)
    part = audio[: num_frames * hop]
    starts = range(0, len(whole) - len(part) + 1, hop)
    return any(np.array_equal(whole[start : start + 40], part[:40]) for start in starts)


@pytest.mark.slow
def test_segment_is_the_same_stretch_of_sound_and_features(store: CorpusStore) -> None:
    examples = VoiceConversionDataset(store, "train", segment_frames=SEGMENT, seed=0)
    hop = store.audio.hop_length

    for index in range(20):
        item = examples[index]
        matches = [
            (clip, first)
            for clip in examples.clips
            for first in range(clip.num_frames - item.num_frames + 1)
            if np.array_equal(store.waveform(clip, first, item.num_frames), item.audio[: item.num_frames * hop])
        ]
        assert len(matches) == 1
        clip, first = matches[0]
        assert_array_equal(item.f0_hz[: item.num_frames], store.feature("f0_hz", clip, first, item.num_frames))
        assert_array_equal(item.content[: item.num_frames], store.feature("content", clip, first, item.num_frames))
        assert store.speakers[item.speaker_id] == clip.speaker


def test_clip_shorter_than_a_segment_is_padded_and_never_dropped(store: CorpusStore) -> None:
    examples = VoiceConversionDataset(store, "train", segment_frames=300, seed=0)

    short = next(examples[index] for index in range(200) if examples[index].num_frames == 30)

    assert not short.audio[30 * store.audio.hop_length :].any()
    assert not short.f0_hz[30:].any() and not short.content[30:].any()
    assert (short.loudness_db[30:] == -80).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_perturbed_share_chooses_the_content(store: CorpusStore, share: float) -> None:
    plain = VoiceConversionDataset(store, "train", segment_frames=SEGMENT, seed=0)
    mixed = VoiceConversionDataset(store, "train", segment_frames=SEGMENT, seed=0, perturbed_share=share)

    same = [np.array_equal(plain[index].content, mixed[index].content) for index in range(10)]

    assert all(np.array_equal(plain[index].audio, mixed[index].audio) for index in range(10))
    assert all(same) if share == 0 else not any(same)


def test_validation_covers_every_held_out_clip_in_a_fixed_order(folder: Path, store: CorpusStore) -> None:
    data = module(folder)

    first, second = (list(data.val_dataloader()) for _ in range(2))

    expected = sorted(min(clip.num_frames, 150) for clip in store.split("val"))
    assert [int(count) for batch in first for count in batch.num_frames] == expected
    for one, other in zip(first, second, strict=True):
        assert_equal(one, other)


def test_collate_pads_to_the_longest(store: CorpusStore) -> None:
    whole = WholeClips(store, "train")

    batch = collate([whole[0], whole[len(whole) - 1]])

    longest = whole.clips[-1].num_frames
    assert batch.f0_hz.shape == (2, longest)
    assert batch.audio.shape == (2, longest * store.audio.hop_length)
    assert batch.num_frames.tolist() == [whole.clips[0].num_frames, longest]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((), "nothing can be held out, .* add longer recordings, or more$"),
        (
            ("preprocess.held_out_share=0", "preprocess.held_out_files=0"),
            r"hold nothing out.*; run preprocess\.py again with preprocess\.held_out_share=0\.05$",
        ),
    ],
)
def test_split_without_clips_is_refused_with_what_to_do(tmp_path: Path, settings: tuple[str, ...], words: str) -> None:
    write_sounds(tmp_path / "source", {"a.wav": voice(1.0)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "data", *settings))

    with pytest.raises(DataError, match=f"no clips to compare states by: .*{words}"):
        WholeClips(CorpusStore.open(tmp_path / "data"), "val")


def test_store_survives_pickling(store: CorpusStore) -> None:
    copy = pickle.loads(pickle.dumps(store))

    assert_array_equal(copy.waveform(copy.clips[0]), store.waveform(store.clips[0]))


def test_frames_outside_of_a_clip_are_refused(store: CorpusStore) -> None:
    clip = store.clips[0]

    with pytest.raises(ValueError, match="outside of clip"):
        store.waveform(clip, clip.num_frames - 1, 2)


@pytest.mark.parametrize("damage", ["cut array", "no array", "bad json", "other schema"])
def test_damaged_dataset_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    write_sounds(tmp_path / "source", {"a.wav": voice(1.0)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "data"))
    description = tmp_path / "data" / "dataset.json"
    array = next((tmp_path / "data" / "arrays").glob("f0_hz-*.npy"))
    if damage == "cut array":
        array.write_bytes(array.read_bytes()[:-40])
    elif damage == "no array":
        array.unlink()
    elif damage == "bad json":
        description.write_text("{")
    else:
        description.write_text(description.read_text().replace('"schema_version": 1', '"schema_version": 99'))

    with pytest.raises(FormatError, match=r"run preprocess\.py again"):
        CorpusStore.open(tmp_path / "data")


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs to know who sent a signal")
@pytest.mark.parametrize("sent", STOP_SIGNALS)
def test_loading_process_leaves_signals_to_the_training_and_ends_when_that_says_so(
    folder: Path, sent: signal.Signals
) -> None:
    loader: Any = iter(module(folder, num_workers=1).train_dataloader())
    next(loader)
    (process,) = loader._workers

    subprocess.run(["kill", f"-{sent.value}", str(process.pid)], check=True)
    for _ in range(5):  # more than are loaded ahead
        next(loader)
    assert process.is_alive()
    process.terminate()
    process.join(20)

    assert process.exitcode == 0


def test_training_that_fails_without_a_word_to_its_loading_processes_ends(folder: Path) -> None:
    def work() -> None:
        sys.kept = loader = iter(module(folder, num_workers=1).train_dataloader())  # type: ignore[attr-defined]
        next(loader)
        sys.exit(3)

    assert run_alone(work, seconds=60) == 3
