"""The data settings reach a training, and do not change what they should not."""

from pathlib import Path

import pytest
import torch

from tests.tools.corpus_tools import make_job, write_sounds
from tests.tools.training_tools import make_dataset, training
from utils.audio.synthetic_speech import voice
from utils.corpus.pipeline import prepare_dataset
from utils.errors import ConfigError
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data_settings"))


def weights(datasets: Path, runs: Path, name: str, *overrides: str) -> dict[str, torch.Tensor]:
    """Train two steps and return what became of the generator."""
    run = train(training(datasets, runs, name, 2, "discriminator=none", "optim.ema_decay=0", *overrides))
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return {key: value for key, value in state.items() if key.startswith("generator.")}


def test_device_cache_trains_the_same_weights_on_whole_clips(datasets: Path, tmp_path: Path) -> None:
    whole = ("data.segment_frames=null", "data.speaker_weights={anna: 3}")

    loaded = weights(datasets, tmp_path, "loaded", *whole)
    cached = weights(datasets, tmp_path, "cached", *whole, "data.device_cache=true")

    assert all(torch.equal(value, cached[key]) for key, value in loaded.items())


def test_changed_voices_are_trained_on(datasets: Path, tmp_path: Path) -> None:
    changed = weights(datasets, tmp_path, "changed", "augmentation=speed", "augmentation.voice_share=1")

    assert changed and all(torch.isfinite(value).all() for value in changed.values())


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.speaker_weights=fair", "data.speaker_weights=fair is unknown; allowed: natural, uniform"),
        ("data.speaker_weights={carl: 2}", "names carl; the dataset has: anna, bert"),
        ("augmentation=noise", "augmentation.noise_share=0.25: .*preprocess.content_noise_db"),
        ("augmentation.pitch_semitones=15", "augmentation.pitch_semitones=15 .*between 0 and 14"),
    ],
)
def test_bad_data_setting_is_refused_before_anything_is_written(
    datasets: Path, tmp_path: Path, override: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        train(training(datasets, tmp_path, "x", 1, override))

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_changed_voices_with_device_cache_are_refused_before_anything_is_written(
    datasets: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="device_cache=true cannot change voices"):
        train(training(datasets, tmp_path, "x", 1, "augmentation=pitch", "data.device_cache=true"))

    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_share_of_copies_that_the_dataset_lacks_is_said_and_refused_where_it_was_typed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_sounds(tmp_path / "source", {f"{index}.wav": voice(1.2, seed=index) for index in range(4)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "datasets" / "tiny", "preprocess.content_speeds=[]"))

    def go_on(steps: int, *changed: str) -> None:
        train(training(tmp_path / "datasets", tmp_path, "run", steps, *changed))

    go_on(1)
    assert "data.perturbed_share=0.5 does nothing" in caplog.text
    caplog.clear()
    go_on(2, "resume=last", "data.perturbed_share=0.5")
    assert "data.perturbed_share=0.5 does nothing" in caplog.text
    with pytest.raises(ConfigError, match=r"data\.perturbed_share=0\.4 does nothing: .*tiny .*content_speeds=\["):
        go_on(1, "run.name=new", "data.perturbed_share=0.4")
    assert not (tmp_path / "new").exists()
    caplog.clear()
    go_on(1, "run.name=none", "data.perturbed_share=0")
    assert "does nothing" not in caplog.text
