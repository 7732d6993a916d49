"""preprocess.py -m makes one dataset after the other; one that cannot be made costs only itself."""

import sys
from pathlib import Path

import pytest

import preprocess
from tests.tools.corpus_tools import RATE, write_sounds
from utils.audio.synthetic_speech import voice
from utils.config import run_script
from utils.config.preprocess import PreprocessJob
from utils.corpus.store import CorpusStore

FAST = ("audio=16k", "content=toy", "preprocess.num_workers=0", "preprocess.content_speeds=[]", "doctor=false")


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recordings of two speakers and a command line that prepares each, and a third who has none."""
    for name, f0_hz in (("anna", 210.0), ("bert", 110.0)):
        sounds = {f"{name}/{number}.wav": voice(1.5, RATE, f0_hz=f0_hz, seed=number) for number in range(2)}
        write_sounds(tmp_path / "recordings", sounds)
    places = (f"dataset.root={tmp_path / 'datasets'}", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    source = f"dataset.source={tmp_path}/recordings/${{dataset.name}}"
    monkeypatch.setattr(sys, "argv", ["preprocess.py", "-m", "dataset.name=anna,nobody,bert", source, *places, *FAST])
    return tmp_path / "datasets"


@pytest.mark.slow
def test_a_sweep_prepares_each_dataset_and_names_the_one_that_cannot_be(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_script(PreprocessJob, preprocess.main)

    assert caught.value.code == 2
    assert {path.name for path in sweep.iterdir() if not path.name.startswith(".")} == {"anna", "bert"}
    assert [CorpusStore.open(sweep / name).path.name for name in ("anna", "bert")] == ["anna", "bert"]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(told) == 2 and "nobody" in told[0] and "run 1" in told[0]
