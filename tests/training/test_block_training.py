"""A share of the clips is heard and generated in blocks that know nothing of each other."""

import json
import math
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch
from torch.testing import assert_close

from models.base import BaseVoiceConversionModel
from models.lite import LiteVoice
from tests.tools.corpus_tools import described
from tests.tools.model_tools import small_model
from tests.tools.process_tools import run_alone
from tests.tools.resume_tools import assert_same_run, config, die_in_update
from tests.tools.step_tools import batch_of as noise_of
from tests.tools.step_tools import gradients, make
from tests.tools.training_tools import make_dataset
from utils.audio.batch import VoiceBatch
from utils.config.train import train_job
from utils.corpus.extraction import retime
from utils.corpus.signed_json import KEY, signed
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, WorkbenchError
from utils.features.content.builtin import RandomContent
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.training.assembly import build_blocks
from utils.training.block_training import BlockTraining, in_blocks, retimed
from utils.training.checkpoints import build_generator
from utils.training.fit import train
from utils.training.stored_frontend import stored_frontend

RATE, HOP, DIM, FRAMES = 16000, 160, 16, 25
FEATURES = ("content", "f0_hz", "loudness_db")


def batch_of(size: int) -> VoiceBatch:
    time = torch.arange(FRAMES * HOP) / RATE
    pitch = 120.0 + 30.0 * torch.arange(size).unsqueeze(1)
    audio = 0.05 * sum(torch.sin(2 * torch.pi * number * pitch * time) for number in range(1, 9))
    audio = audio + 0.01 * torch.randn(size, FRAMES * HOP, generator=torch.Generator().manual_seed(0))
    return VoiceBatch(
        audio=audio,
        content=torch.zeros(size, FRAMES, DIM),
        f0_hz=torch.zeros(size, FRAMES),
        loudness_db=torch.zeros(size, FRAMES),
        speaker_id=torch.arange(size) % 2,
        num_frames=torch.full((size,), FRAMES),
        segment=torch.arange(size),
    )


def blocks_of(
    share: float = 1.0, lengths: tuple[int, ...] = (10,), seed: int = 0, perturbed_share: float = 0.0
) -> BlockTraining:
    frontend = AnalysisFrontend(RandomContent(dim=DIM), builtin_tracker(), RATE).eval()
    return BlockTraining(
        frontend, share=share, lengths=lengths, perturbed_share=perturbed_share, speeds=(0.84, 1.19), seed=seed
    )


def voice() -> BaseVoiceConversionModel:
    torch.manual_seed(0)
    return LiteVoice(
        sample_rate=RATE, n_fft=640, content_dim=DIM, num_speakers=2, channels=16, num_blocks=2, closed_ends=True
    )


def generated(blocks: BlockTraining, generator: BaseVoiceConversionModel, batch: VoiceBatch) -> torch.Tensor:
    made = blocks.training_pass(generator, batch)
    assert made is not None
    return made.audio


def test_each_block_has_the_features_of_its_audio_alone() -> None:
    blocks, batch = blocks_of(), batch_of(3)

    heard = blocks.hear(batch)

    for first, end in ((0, 10), (10, 20), (20, 25)):
        alone = blocks.frontend(batch.audio[:, first * HOP : end * HOP])
        for name, values in zip(FEATURES, alone, strict=True):
            assert_close(getattr(heard, name)[:, first:end], values, atol=1e-5, rtol=1e-5)
    assert (heard.f0_hz > 0).float().mean().item() > 0.5


def test_each_block_is_generated_from_its_features_alone() -> None:
    blocks, batch, generator = blocks_of(), batch_of(3), voice()
    heard = blocks.hear(batch)

    made = blocks.training_pass(generator, heard)

    assert made is not None
    assert made.target is heard.audio
    assert made.terms == {}
    for first, end in ((0, 10), (10, 20), (20, 25)):
        content, f0_hz, loudness_db = (getattr(heard, name)[:, first:end] for name in FEATURES)
        alone = generator.inference(content, f0_hz, loudness_db, batch.speaker_id)
        assert_close(made.audio[:, first * HOP : end * HOP], alone, atol=1e-5, rtol=1e-4)


def test_what_a_block_makes_does_not_depend_on_others() -> None:
    blocks, batch, generator = blocks_of(), batch_of(1), voice()
    audio = batch.audio.clone()
    audio[:, 10 * HOP : 20 * HOP] = 0.3 * torch.randn(1, 10 * HOP)

    first, second = (generated(blocks, generator, blocks.hear(item)) for item in (batch, replace(batch, audio=audio)))

    same = (first == second)[0]
    assert bool(same[: 10 * HOP].all())
    assert bool(same[20 * HOP :].all())
    assert not bool(same[10 * HOP : 20 * HOP].all())


def test_clips_that_are_not_cut_are_as_without_blocks() -> None:
    blocks, batch, generator = blocks_of(share=0.5, lengths=(5, 10)), batch_of(12), voice()
    batch = replace(batch, content=torch.randn(batch.content.shape))
    lengths = [blocks.cut_of(number).length for number in range(12)]

    heard = blocks.hear(batch)
    made = generated(blocks, generator, heard)

    assert set(lengths) == {0, 5, 10}
    for number, length in enumerate(lengths):
        is_cut = length > 0
        assert torch.equal(heard.content[number], batch.content[number]) != is_cut
        whole = generator(heard.part(slice(number, number + 1)))[0]
        assert torch.allclose(made[number], whole, atol=1e-5) != is_cut


def test_without_a_clip_that_is_cut_the_model_makes_the_batch_itself() -> None:
    assert blocks_of(share=0.0).training_pass(voice(), batch_of(2)) is None


def test_padding_stays_as_it_is() -> None:
    batch = replace(batch_of(2), num_frames=torch.tensor([FRAMES, 13]))

    heard = blocks_of().hear(batch)

    for name in FEATURES:
        assert torch.equal(getattr(heard, name)[1, 13:], getattr(batch, name)[1, 13:])
    assert bool((heard.loudness_db[1, :13] != 0).all())


def test_choices_follow_from_seed_and_segment() -> None:
    settings = {"lengths": (10, 10, 40), "perturbed_share": 0.5}
    blocks, other = blocks_of(0.3, **settings), blocks_of(0.3, seed=1, **settings)  # type: ignore[arg-type]
    cuts = [blocks.cut_of(number) for number in range(3000)]

    assert cuts == [blocks.cut_of(number) for number in range(3000)]
    assert cuts != [other.cut_of(number) for number in range(3000)]
    found = [cut for cut in cuts if cut.length]
    assert 0.27 < len(found) / 3000 < 0.33
    assert 0.6 < sum(cut.length == 10 for cut in found) / len(found) < 0.74
    for speed in (0.84, 1.19):
        assert 0.2 < sum(cut.speed == speed for cut in found) / len(found) < 0.3


def test_perturbed_content_is_that_of_the_block_played_at_another_speed() -> None:
    blocks, plain, batch = blocks_of(perturbed_share=1.0), blocks_of(), batch_of(6)

    heard, same = blocks.hear(batch), plain.hear(batch)

    assert torch.equal(heard.f0_hz, same.f0_hz)
    assert torch.equal(heard.loudness_db, same.loudness_db)
    for number in range(6):
        speed = blocks.cut_of(number).speed
        block = batch.audio[number, :1600].numpy()
        played = soxr.resample(block, RATE * speed, RATE).astype(np.float32)
        padded = torch.from_numpy(np.pad(played, (0, -len(played) % HOP)))[None]
        expected = retime(blocks.frontend.content_encoder(padded)[0].numpy(), 10, speed)
        off = (heard.content[number, :10] - torch.from_numpy(expected)).square().mean().sqrt()
        moved = (heard.content[number, :10] - same.content[number, :10]).square().mean().sqrt()
        assert off < 0.1 * moved  # two resamplers


@pytest.mark.parametrize("speed", [0.84, 1.19])
def test_retimed_is_what_preprocessing_does(speed: float) -> None:
    features = torch.randn(2, math.ceil(40 / speed), 8, generator=torch.Generator().manual_seed(0))

    expected = np.stack([retime(item.numpy(), 40, speed) for item in features])

    assert_close(retimed(features, 40, speed), torch.from_numpy(expected), atol=1e-4, rtol=0)


def test_micro_batches_equal_one_batch() -> None:
    blocks = BlockTraining(None, share=0.6, lengths=(4, 5), seed=0)  # type: ignore[arg-type]  # only generates
    whole, parts = make(blocks=blocks), make(blocks=blocks, accumulate=3)

    first, second = whole.backward_all(noise_of(7), True), parts.backward_all(noise_of(7), True)

    for name in first:
        assert_close(second[name], first[name], atol=0, rtol=1e-5)
    found, expected = gradients(parts.generator), gradients(whole.generator)
    largest = max(float(value.abs().max()) for value in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs, atol=2e-6 * largest, rtol=1e-4)


@pytest.mark.parametrize(("frames", "length"), [(20, 10), (25, 10), (7, 10), (10, 10), (11, 10)])
def test_in_blocks_joins_what_it_cut(frames: int, length: int) -> None:
    values = torch.randn(3, frames, 2)
    seen = []

    def function(part: torch.Tensor, ids: torch.Tensor) -> list[torch.Tensor]:
        seen.append(part.shape)
        return [part + 1, ids]

    ids = torch.arange(3).unsqueeze(1).expand(3, frames)
    made, same = in_blocks(function, length, [values, ids])

    assert torch.equal(made, values + 1)
    assert torch.equal(same, ids)
    assert all(shape[1] <= length for shape in seen)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def test_a_block_as_long_as_the_clip_has_the_features_of_the_dataset(datasets: Path) -> None:
    store = CorpusStore.open(next(path.parent for path in datasets.rglob("dataset.json")))
    frontend = stored_frontend(store.description, store.path / "dataset.json", "data", store.audio.sample_rate)
    clip = store.clips[0]
    audio = torch.from_numpy(store.waveform(clip))[None]

    with torch.no_grad():
        content, f0_hz, loudness_db = frontend(audio)

    stored = [torch.from_numpy(store.feature(name, clip))[None] for name in FEATURES]
    assert (content - stored[0]).abs().mean().item() < 0.02 * stored[0].abs().mean().item()
    voiced = (f0_hz > 0) & (stored[1] > 0)
    assert bool(((f0_hz > 0) == (stored[1] > 0)).float().mean() > 0.95)
    assert (f0_hz[voiced] / stored[1][voiced] - 1).abs().max().item() < 0.01
    assert_close(loudness_db, stored[2], atol=0.1, rtol=0)


BLOCKS = ("data.block_share=0.5", "data.block_lengths=[3,7]")


def test_a_killed_run_ends_as_one_never_interrupted(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        die_in_update(4, patched)
        code = run_alone(lambda: train(config(datasets, tmp_path, "cut", *BLOCKS)))

    run = train(config(datasets, tmp_path, "cut", "resume=auto", *BLOCKS))

    assert code == -signal.SIGKILL
    assert_same_run(run, train(config(datasets, tmp_path, "whole", *BLOCKS)))
    plain = train(config(datasets, tmp_path, "plain"))
    with pytest.raises(AssertionError):
        assert_same_run(run, plain)


@pytest.mark.parametrize("name", ["rvc_v2_40k", "sovits_4_0", "vits_vc"])
def test_a_model_that_decodes_parts_of_clips_is_refused(name: str, datasets: Path, tmp_path: Path) -> None:
    store = CorpusStore.open(next(path.parent for path in datasets.rglob("dataset.json")))
    generator = build_generator(train_job(small_model(name)).model, described("a", content={}, content_dim=DIM))

    with pytest.raises(ConfigError, match=r"data.block_share=0.5 needs a model that makes a whole segment.*at 0 with"):
        build_blocks(config(datasets, tmp_path, "none", *BLOCKS), store, generator)


def test_a_dataset_that_names_a_command_is_refused(datasets: Path, tmp_path: Path) -> None:
    foreign = shutil.copytree(datasets, tmp_path / "foreign")
    described = next(foreign.rglob("dataset.json"))
    plain = json.loads(described.read_text(encoding="utf-8"))
    plain["features"]["content"]["config"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'was_run'}"}
    plain.pop(KEY)
    described.write_text(json.dumps(signed(plain)), encoding="utf-8")

    with pytest.raises(WorkbenchError, match=r"os.system, no class of this workbench"):
        train(config(foreign, tmp_path, "none", *BLOCKS))
    assert not (tmp_path / "was_run").exists()


def test_lengths_without_a_share_are_refused(datasets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.block_lengths does nothing without .* give data.block_share"):
        train(config(datasets, tmp_path, "none", "data.block_lengths=[3,7]"))
    assert not (tmp_path / "none" / "checkpoints").exists()


def test_a_stream_has_no_ends_to_close() -> None:
    job = train_job(["model=lite_stream", "+model.closed_ends=true", "dataset.name=x"])

    with pytest.raises(ConfigError, match=r"model.closed_ends=true is for blocks by themselves"):
        build_generator(job.model, described("a", content={}, content_dim=DIM))


def test_the_recipe_names_the_model_and_the_share() -> None:
    job = train_job(["experiment=lite_blocks", "dataset.name=x"])

    assert job.data.block_share == 0.5
    assert job.data.block_lengths == (10, 10, 40)
    assert job.model.arguments["closed_ends"] is True


def test_closed_ends_hold_the_first_and_the_last_frame() -> None:
    closed, plain = voice(), voice()
    plain.closed_ends = False  # type: ignore[assignment]
    content, f0_hz, loudness_db = torch.randn(2, 10, DIM), torch.full((2, 10), 150.0), -30 + torch.randn(2, 10)
    speaker = torch.tensor([0, 1])

    filters = closed.predict_filters(content, f0_hz, loudness_db, speaker)  # type: ignore[operator]

    held = [torch.cat([*[item[:, :1]] * 6, item, *[item[:, -1:]] * 6], 1) for item in (content, f0_hz, loudness_db)]
    expected = plain.predict_filters(*held, speaker)  # type: ignore[operator]
    for ours, theirs in zip(filters, expected, strict=True):
        assert_close(ours, theirs[:, 6:-6], atol=1e-6, rtol=1e-6)
