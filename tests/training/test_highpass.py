"""A trained voice hears through the high-pass of its recordings, also one of an earlier version."""

import zipfile
from pathlib import Path

import pytest

from utils.training.checkpoints import load_voice

EARLIER_RUN = Path(__file__).resolve().parents[1] / "golden" / "run_of_0_1.zip"


@pytest.mark.parametrize("io_rate", [16000, 48000])
def test_a_run_of_an_earlier_version_gets_the_filter_of_its_dataset(io_rate: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(EARLIER_RUN) as archive:
        archive.extractall(tmp_path)

    highpass = load_voice(tmp_path / "runs" / "tiny", "last", io_rate).converter.highpass

    assert highpass is not None
    assert highpass.identity == {"id": "butterworth", "order": 4, "cutoff_hz": 40.0}
    assert highpass.sample_rate == io_rate
