"""What the recipe folds into a trained encoder's head, and how a base voice follows a change of the encoder."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from recipes.base_voice.rebase import rebase
from recipes.content_encoder.examples import ContentExamples, as_float, interpolate
from recipes.content_encoder.sharpen import MIN_GAIN, content_map, covariances, sharpen
from recipes.sound_augmentation import SoundAugmentation
from tests.tools.content_encoder_tools import SIZES, made_up_examples
from utils.audio.listing import list_audio
from utils.errors import ConfigError, DataError
from utils.features.content.builtin import BuiltinContent
from utils.training.checkpoints import save_weights

STILL = SoundAugmentation(speed=0, reverb_share=0, noise_share=0, equalizer_db=0, level_range_db=(0, 0))


def examples(augmentation: SoundAugmentation) -> ContentExamples:
    return made_up_examples(augmentation=augmentation, num_frames=20)


def rotation(dim: int) -> Tensor:
    numbers = torch.randn(dim, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return torch.linalg.qr(numbers)[0]


@pytest.mark.parametrize("power", [1.0, 4.0])
def test_each_direction_keeps_its_share_of_content(power: float) -> None:
    total, disturbance = torch.tensor([10.0, 20.0, 4.0]).double(), torch.tensor([1.0, 0.5, 1.5]).double()
    turn = rotation(3)

    found = content_map(turn @ total.diag() @ turn.T, turn @ disturbance.diag() @ turn.T, power=power)

    wanted = turn @ (((total - disturbance) / total) ** power).diag() @ turn.T
    torch.testing.assert_close(found, wanted, rtol=0.01, atol=2e-3)


def test_power_one_is_the_wiener_filter_of_any_two_covariances() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(5, 40, generator=generator, dtype=torch.float64) for _ in range(2))
    disturbance = second @ second.T / 40
    total = first @ first.T / 10 + disturbance

    found = content_map(total, disturbance, power=1.0)

    torch.testing.assert_close(found, (total - disturbance) @ torch.linalg.inv(total), rtol=0, atol=3e-3)


def test_a_direction_of_disturbance_alone_stays_a_little() -> None:
    found = content_map(torch.tensor([4.0, 1.0]).double().diag(), torch.tensor([1.0, 2.0]).double().diag(), power=1.0)

    assert float(found[1, 1]) == pytest.approx(MIN_GAIN)
    assert float(found[0, 0]) == pytest.approx(0.75, abs=0.01)


def test_what_is_unchanged_is_no_disturbance() -> None:
    network = SIZES.build().eval()

    total, disturbance = covariances(network, examples(STILL), 8)

    assert disturbance.trace() < 1e-3 * total.trace()


def test_a_changed_copy_has_disturbance() -> None:
    network = SIZES.build().eval()

    total, disturbance = covariances(network, examples(SoundAugmentation()), 8)

    assert disturbance.trace() > 0.02 * total.trace()


@pytest.mark.parametrize("index", range(4))
def test_frames_of_a_pair_say_where_they_lie(index: int) -> None:
    clips = examples(SoundAugmentation(speed=0.3, reverb_share=0, noise_share=0, equalizer_db=0, level_range_db=(0, 0)))
    for clip in clips._labelled["en"]:
        time = torch.arange(len(clip.audio)) / len(clip.audio)
        clip.audio.copy_((8000 * torch.sin(20 * time)).to(torch.int16))  # slow enough for a mean over a frame

    pair = clips.pair(index)
    plain, changed = (part.reshape(-1, 320).mean(dim=1, keepdim=True) for part in (pair.plain, pair.changed))

    inner = (pair.position > 1) & (pair.position < len(plain) - 2)
    inner[-2:] = False  # the end of what was played rings
    expected = interpolate(plain, pair.position)
    assert inner.sum() > 5
    assert float((expected - changed[: len(expected)])[inner].abs().max()) < 0.02 * float(as_float(torch.tensor(8000)))


def test_sharpening_changes_the_head_alone() -> None:
    network = SIZES.build().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    sharpen(network, examples(SoundAugmentation()), num_pairs=8)

    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def encoder_files(folder: Path) -> tuple[Path, Path]:
    """Write an encoder and one whose features are a linear map of its features."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SIZES.build()
    named = {name: str(getattr(SIZES, name)) for name in SIZES.__dict__ if name != "num_units"}
    tensors = network.state_dict()
    save_weights(folder / "old.safetensors", tensors, named | {"version": "1"})
    matrix = rotation(SIZES.dim).float()
    turned = {"head.weight": matrix @ tensors["head.weight"], "head.bias": matrix @ tensors["head.bias"]}
    save_weights(folder / "new.safetensors", {**tensors, **turned}, named | {"version": "2"})
    return folder / "old.safetensors", folder / "new.safetensors"


def write_base(folder: Path, content: Path) -> nn.Conv1d:
    reading = nn.Conv1d(SIZES.dim, 6, 3, padding=1)
    metadata = {"version": "1", "steps": "5", "content_weights_sha256": BuiltinContent(weights=str(content)).sha256}
    tensors = {f"content_in.{name}": value for name, value in reading.state_dict().items()}
    save_weights(folder / "lite_base_generator.safetensors", tensors, metadata)
    save_weights(folder / "lite_base_discriminator.safetensors", {"x": torch.ones(1)}, metadata)
    return reading


def test_a_rebased_voice_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = encoder_files(tmp_path)
    reading = write_base(tmp_path, old)
    audio = np.random.default_rng(0).standard_normal(32000).astype(np.float32) * 0.1
    recordings = [tmp_path / f"{index}.wav" for index in range(6)]
    for index, path in enumerate(recordings):
        soundfile.write(path, audio if not index else np.roll(audio, 999 * index)[::-1], 16000)

    rebase(old, str(new), recordings, base=tmp_path, version="2", output=tmp_path / "out")

    words = capsys.readouterr().out
    assert float(re.findall(r"([0-9.]+) % of the old", words)[0]) > 99.9

    tensors = load_file(tmp_path / "out" / "lite_base_generator.safetensors")
    first, second = (torch.from_numpy(BuiltinContent(weights=str(path)).encode(audio)).T[None] for path in (old, new))
    before = nn.functional.conv1d(first, reading.weight, reading.bias)
    after = nn.functional.conv1d(second, tensors["content_in.weight"].float(), tensors["content_in.bias"].float())
    torch.testing.assert_close(after, before, rtol=0, atol=0.01)


def test_too_little_speech_to_compare_encoders_is_refused(tmp_path: Path) -> None:
    """As many frames as unknowns always give a perfect map."""
    old, new = encoder_files(tmp_path)
    write_base(tmp_path, old)
    for index in range(5):
        soundfile.write(tmp_path / f"{index}.wav", np.full(1600, 0.1), 16000)

    with pytest.raises(DataError, match=r"5 recording\(s\) with 0 s of speech are too little"):
        rebase(old, str(new), list_audio(tmp_path), base=tmp_path, version="2", output=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_base_of_another_encoder_is_refused(tmp_path: Path) -> None:
    old, new = encoder_files(tmp_path)
    write_base(tmp_path, new)
    soundfile.write(tmp_path / "speech.wav", np.full(16000, 0.1), 16000)

    with pytest.raises(ConfigError, match="does not read the features of"):
        rebase(old, str(new), [tmp_path / "speech.wav"], base=tmp_path, version="2", output=tmp_path / "out")
