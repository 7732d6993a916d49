"""The studio in a real browser: Debian's Chromium, driven by playwright, as a person uses it.

    apt install chromium; make studio; pip install playwright

Where playwright is installed for another Python, VOCLO_BROWSER_PYTHON names that one; VOCLO_STUDIO_PYTHON one that has
NiceGUI and what the project needs; VOCLO_PICTURES a folder for pictures of all pages.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from studio.texts import _flat
from tests.tools.corpus_tools import write_sounds
from tests.tools.report_tools import falling, write_card, write_run
from tests.tools.rvc_tools import applio_voice, saved, small_generator
from tests.tools.training_tools import FAST, make_dataset
from utils.audio.synthetic_speech import voice

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "tests" / "tools" / "studio_driver.py"
CHROMIUM = Path("/usr/bin/chromium")
BROWSER = os.environ.get("VOCLO_BROWSER_PYTHON", sys.executable)
STUDIO = os.environ.get("VOCLO_STUDIO_PYTHON", sys.executable)
MOST_CLICKS = 12
AXE = Path(os.environ.get("VOCLO_AXE", "axe.min.js"))
INDEX = struct.pack("<4siq", b"IwFl", 768, 1234) + bytes(100)


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
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1400)
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
    assert "make web" in seen["page"] or "of real time" in seen["page"]
    assert "Best" in seen["heard"] and "Last" in seen["heard"] and "Target voice" in seen["heard"]
    assert seen["blind"].count("better") == 2
    assert seen["asks_again"] == 0


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
    assert seen["typed_at_once"] == [f"at once {number}" for number in range(6)]
    assert seen["typed"] == seen["typed_there"] == "again"
    assert "/1000000 steps" in seen["progress"]


def test_wrong_files_and_names_are_told_where_they_were_given(studio: Studio) -> None:
    make_dataset(studio.folder)
    write_sounds(studio.folder, {"recording.wav": voice(1.0)})

    seen = studio.use("wrong")

    assert ".wav" in seen["kind"]
    assert "must be a plain name" in seen["field"] and "must be a plain name" in seen["button"]
    assert "seed" in seen["setting"] and "many" in seen["setting"]
    assert list(studio.folder.parent.rglob("escaped")) == []
    assert "broken" in seen["job"] or "recordings" in seen["job"]


def test_pages_that_are_left_leave_no_fault_in_the_log(studio: Studio) -> None:
    make_dataset(studio.folder)

    seen = studio.use("left")
    studio.close()

    assert seen["still"] == "System"
    log = studio.log.read_text("utf-8")
    assert f'File "{ROOT}' not in log and "deleted" not in log  # what the web server says of a broken line is its own


def test_sentences_are_recorded_with_the_microphone(studio: Studio) -> None:
    seen = studio.use("recorded")

    taken = sorted((studio.folder / "recordings" / "my_voice").glob("*.wav"))
    assert seen["errors"] == []
    assert [path.name for path in taken] == ["en_01.wav", "en_02.wav"]
    assert all(soundfile.info(path).duration > 1 for path in taken)
    assert "dB" in seen["level 1"] and "dB" in seen["room"]


def filled(folder: Path) -> None:
    """Write a training with sounds, voices, recordings, a dataset that the doctor looked at, and jobs that ended."""
    write_run(folder / "runs" / "anna", falling(8), num_states=3)
    for name in ("anna", "bert of the other house"):
        write_card(folder / "exports" / name, ("PASS",) * 30 + ("WARN", "SKIP"))
    make_dataset(folder)
    finding = {
        "rule": "level",
        "subject": "quiet.wav",
        "words": "-52 dB",
        "remedy": "record it again",
        "leave_out": True,
    }
    found = {
        "verdicts": {"tiny": "thin"},
        "plan": ["record ten minutes"],
        "findings": [finding],
        "leave_out": [],
        "missing": [],
    }
    (folder / "datasets" / "tiny" / "doctor.json").write_text(json.dumps(found), "utf-8")
    write_sounds(folder / "recordings" / "tiny", {"quiet.wav": voice(1.0)})
    write_sounds(folder / ".studio" / "uploads" / "convert", {"a recording with a long name, take 12.wav": voice(1.0)})
    asked = {
        "1": ("preprocess.py", "dataset.source=recordings/tiny", "dataset.name=tiny"),
        "2": ("train.py", "dataset.name=tiny", "run.name=anna"),
        "3": ("export_onnx.py", "run=runs/anna", "name=anna"),
        "4": ("test_model.py", "verify=exports/anna/anna.onnx"),
    }
    for name, arguments in asked.items():
        place = folder / ".studio" / "jobs" / name
        place.mkdir(parents=True)
        job: dict[str, Any] = {"arguments": arguments, "title": f"{arguments[0]} with a long title", "device": "cpu"}
        job |= {"folder": str(folder), "submitted": 1.0}
        ended = {"at": 3.0, "exit_code": 2 if name == "4" else 0}
        for file, content in {"job": job, "started": {"at": 2.0}, "ended": ended}.items():
            (place / f"{file}.json").write_text(json.dumps(content), "utf-8")
        (place / "log.txt").write_text(
            f"error: a line that says what is wrong with {folder}/a/long/path/to/a/file.onnx"
        )


@pytest.mark.parametrize("is_filled", [False, True], ids=["empty", "filled"])
def test_every_page_fits_and_can_be_read_and_has_names_for_its_controls(tmp_path: Path, is_filled: bool) -> None:
    if is_filled:
        filled(tmp_path)
    if "VOCLO_PICTURES" in os.environ:
        (tmp_path / "downloads" / "pictures").mkdir(parents=True)
    studio = Studio(tmp_path)
    try:
        seen = studio.use("looks")
    finally:
        studio.close()
    if "VOCLO_PICTURES" in os.environ:
        target = Path(os.environ["VOCLO_PICTURES"], "filled" if is_filled else "empty")
        shutil.copytree(tmp_path / "downloads" / "pictures", target, dirs_exist_ok=True)

    assert {case: width for case, width in seen["widths"].items() if width > int(case.rpartition(" ")[2])} == {}
    assert {case: poor for case, poor in seen["contrast"].items() if poor} == {}
    assert {case: items for case, items in seen["unlabelled"].items() if items} == {}
    assert {case: texts for case, texts in seen["cut"].items() if texts} == {}


def test_every_page_is_translated_and_fits_in_every_language(tmp_path: Path) -> None:
    filled(tmp_path)
    if "VOCLO_PICTURES" in os.environ:
        (tmp_path / "downloads" / "pictures").mkdir(parents=True)
    studio = Studio(tmp_path)
    try:
        seen = studio.use("foreign")
    finally:
        studio.close()
    if "VOCLO_PICTURES" in os.environ:
        target = Path(os.environ["VOCLO_PICTURES"], "foreign")
        shutil.copytree(tmp_path / "downloads" / "pictures", target, dirs_exist_ok=True)

    own = {language: set(_flat(language).values()) for language in ("de", "zh")}
    english = {text for text in _flat("en").values() if len(text) > 4}
    left = {
        case: sorted(set(map(str.strip, lines)) & (english - own["de" if case.startswith("Deutsch") else "zh"]))
        for case, lines in seen["lines"].items()
    }
    assert {case: lines for case, lines in left.items() if lines} == {}
    assert {case: width for case, width in seen["widths"].items() if width > 390} == {}
    assert {case: texts for case, texts in seen["cut"].items() if texts} == {}


def test_the_library_compares_names_deletes_and_takes_files_of_others(tmp_path: Path) -> None:
    write_card(tmp_path / "exports" / "carl")
    os.utime(tmp_path / "exports" / "carl" / "card.json", (1e9, 1e9))  # the last of the shelf
    for name in ("anna", "bert"):
        write_card(tmp_path / "exports" / name)
        write_sounds(tmp_path / ".studio" / "previews" / name, {"sentence.wav": voice(1.0)})
    with zipfile.ZipFile(tmp_path / "bob.zip", "w") as archive:
        strange = applio_voice(small_generator())
        strange["weight"]["dec.more"] = torch.zeros(2)
        archive.write(saved(tmp_path / "bob.pth", strange), "bob.pth")
        archive.writestr("bob.index", INDEX)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "bob.zip").rename(tmp_path / "downloads" / "bob.zip")
    studio = Studio(tmp_path)
    try:
        seen = studio.use("library")
    finally:
        studio.close()

    assert "A: " in seen["compared"] and "verification" in seen["compared"] and seen["compared_sounds"] == 2
    assert seen["typed_note"] == "half a no" and seen["still_compared"] == 1
    assert seen["voices"] == 3
    assert "FAISS index" in seen["imported"] and "bob.pth" in seen["imported"]
    assert "does not fit" in seen["said"]  # a network with a parameter that no program knows


def test_axe_finds_nothing(studio: Studio) -> None:
    """npm install axe-core; VOCLO_AXE names its axe.min.js."""
    if not AXE.is_file():
        pytest.skip(f"no {AXE}: npm install axe-core, VOCLO_AXE=node_modules/axe-core/axe.min.js")
    (studio.folder / "downloads").mkdir()
    shutil.copy(AXE, studio.folder / "downloads")

    seen = studio.use("axe")

    assert {page: found for page, found in seen["violations"].items() if found} == {}


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
    line = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert code(line, Origin=studio.address) == 200 and code(line, Origin="http://voices.example") == 403
    assert code("/file/.studio/secret") == 404
    assert code("/file/runs/..%2f..%2fetc/passwd") == 404
    assert code("/web/index.html") == 200
    assert code("/web/..%2fstudio.py") == 404


def test_the_page_of_a_run_cannot_act_in_the_name_of_the_studio(studio: Studio) -> None:
    page = studio.folder / "runs" / "strange" / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<script>1</script>")

    with urllib.request.urlopen(f"{studio.address}/file/runs/strange/report.html", timeout=30) as answer:
        rules = answer.headers["content-security-policy"].split()

    assert rules[0] == "sandbox" and "allow-same-origin" not in rules


def test_language_and_colours_stay(studio: Studio) -> None:
    seen = studio.use("languages")

    assert seen["heading"] == "Aufnahmen"
    assert seen["language"] == "de" and seen["dark"]
