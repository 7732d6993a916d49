"""The studio in a real browser: Debian's Chromium, driven by playwright, as a person uses it.

    apt install chromium; make studio; pip install playwright

Where playwright is installed for another Python, VOCLO_BROWSER_PYTHON names that one; VOCLO_STUDIO_PYTHON one that has
NiceGUI and what the project needs.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tests.tools.corpus_tools import write_sounds
from tests.tools.training_tools import FAST, make_dataset
from utils.audio.synthetic_speech import voice

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "tests" / "tools" / "studio_driver.py"
CHROMIUM = Path("/usr/bin/chromium")
BROWSER = os.environ.get("VOCLO_BROWSER_PYTHON", sys.executable)
STUDIO = os.environ.get("VOCLO_STUDIO_PYTHON", sys.executable)
MOST_CLICKS = 12


def has(python: str, package: str) -> bool:
    asked = subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False)
    return asked.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt install chromium"),
    pytest.mark.skipif(not has(BROWSER, "playwright"), reason=f"{BROWSER} has no playwright; VOCLO_BROWSER_PYTHON"),
    pytest.mark.skipif(not has(STUDIO, "nicegui"), reason=f"{STUDIO} has no nicegui: make studio"),
]


class Studio:
    """A studio that serves a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{trial.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        short = {"VOCLO_EXPORT__VERIFY_MINUTES": "0", "VOCLO_EXPORT__VERIFY_BLOCKS": "0", "OMP_NUM_THREADS": "1"}
        short |= {"VOCLO_PREPROCESS__NUM_WORKERS": "0"}
        command = [STUDIO, "studio.py", f"folder={folder}", "show=false", f"port={port}"]
        # NiceGUI behaves otherwise where pytest has left its mark, and the scripts want no variables but their own
        unmarked = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "VOCLO_"))}
        self.log = folder / "studio.log"
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=unmarked | short, stdout=log, stderr=log)
        deadline = time.monotonic() + 240  # a machine that is busy with tests
        while not self._answers():
            is_late = self.process.poll() is not None or time.monotonic() > deadline
            assert not is_late, self.log.read_text("utf-8")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def use(self, scenario: str, recordings: Path | None = None) -> dict[str, Any]:
        downloads = self.folder / "downloads"
        downloads.mkdir(exist_ok=True)
        command = [BROWSER, str(DRIVER), self.address, scenario, str(recordings or self.folder), str(downloads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    opened = Studio(tmp_path)
    yield opened
    opened.close()


def test_from_recordings_to_a_converted_file_by_clicks_alone(studio: Studio, tmp_path: Path) -> None:
    recordings = tmp_path / "phone"
    write_sounds(recordings, {f"{index}.wav": voice(4.0, seed=index, f0_hz=190.0) for index in range(4)})

    seen = studio.use("voice", recordings)

    assert seen["errors"] == []
    assert seen["clicks"] <= MOST_CLICKS
    assert "4 clips" in seen["verdict"] or "minutes in" in seen["verdict"]
    assert seen["sounds"] >= 2
    assert "rules hold" in seen["delivered"]
    assert soundfile.info(seen["converted"]).duration == pytest.approx(4.0, abs=0.01)


def test_a_training_survives_reload_and_stop_and_is_the_same_in_two_browsers(tmp_path: Path) -> None:
    make_dataset(tmp_path)
    settings = dict(item.split("=", 1) for item in FAST) | {
        "pretrained": "none", "discriminator": "none", "trainer.progress_bar": "true", "trainer.steps": "1000000",
        "trainer.validate_every": "1000000", "trainer.save_every": "1000000",
    }  # fmt: skip
    kept = tmp_path / ".studio" / "pages" / "storage-general.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"train.dataset": "tiny", "train.settings": settings}), "utf-8")
    studio = Studio(tmp_path)
    try:
        seen = studio.use("training")
    finally:
        studio.close()

    assert seen["errors"] == [] and seen["errors_there"] == []
    assert seen["after_reload"] and seen["other_browser"] and seen["stopped_there"] and seen["goes_on"]
    assert seen["typed"] == seen["typed_there"] == "again"
    assert "/1000000 steps" in seen["progress"]


def test_wrong_files_and_names_are_told_where_they_were_given(studio: Studio) -> None:
    seen = studio.use("wrong")

    assert ".wav" in seen["kind"]
    assert "must be a plain name" in seen["field"]
    assert "broken" in seen["job"] or "recordings" in seen["job"]


def test_sentences_are_recorded_with_the_microphone(studio: Studio) -> None:
    seen = studio.use("recorded")

    taken = sorted((studio.folder / "recordings" / "my_voice").glob("*.wav"))
    assert seen["errors"] == []
    assert [path.name for path in taken] == ["en_01.wav", "en_02.wav"]
    assert all(soundfile.info(path).duration > 1 for path in taken)
    assert "dB" in seen["level 1"] and "dB" in seen["room"]


def test_every_page_fits_and_can_be_read_and_has_names_for_its_controls(studio: Studio) -> None:
    seen = studio.use("looks")

    assert {case: width for case, width in seen["widths"].items() if width > int(case.rpartition(" ")[2])} == {}
    assert {case: poor for case, poor in seen["contrast"].items() if poor} == {}
    assert {case: items for case, items in seen["unlabelled"].items() if items} == {}


def test_other_names_and_other_origins_are_refused(studio: Studio) -> None:
    def code(path: str, method: str = "GET", **headers: str) -> int:
        request = urllib.request.Request(f"{studio.address}{path}", headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert code("/data") == 200
    assert code("/data", Host="voices.example") == 421
    assert code("/microphone", "POST", Origin="http://voices.example") == 403
    assert code("/file/.studio/secret") == 404
    assert code("/file/runs/..%2f..%2fetc/passwd") == 404


def test_language_and_colours_stay(studio: Studio) -> None:
    seen = studio.use("languages")

    assert seen["heading"] == "Aufnahmen"
    assert seen["language"] == "de" and seen["dark"]
