"""The page that converts in the browser, in Debian's Chromium driven by playwright, with a file for a microphone.

    apt install chromium npm; make web; pip install playwright

Where playwright is installed for another Python, VOCLO_BROWSER_PYTHON names that one.
"""

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.reports.test_browser import CHROMIUM, PYTHON, has_playwright
from tests.tools.standin_voice import metadata_of
from tests.tools.streaming_tools import DEFAULTS, RATE, small_converter
from utils.export.finishing import save_graph
from utils.export.graph import build_graph
from utils.export.tracing import GraphOptions
from utils.inference import VoiceSession
from utils.verification.utterances import utterance
from utils.voice_file.controls import CONTROLS
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.metadata import IDLE_KEY, METADATA_KEY

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "web" / "vendor" / "ort.wasm.min.mjs"
LIVE_SECONDS = 3.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt install chromium"),
    pytest.mark.skipif(not has_playwright(), reason=f"{PYTHON} has no playwright; VOCLO_BROWSER_PYTHON names one"),
    pytest.mark.skipif(not VENDOR.exists(), reason="no onnxruntime-web: make web"),
]


def small_voice_file(folder: Path) -> Path:
    """Write the small voice of two speakers, whose page shows all sliders but one."""
    geometry = FileGeometry(name="small", sample_rate=RATE, hop_length=RATE // 100, n_fft=640)
    described = replace(
        metadata_of("small"), sample_rate=RATE, hop_length=RATE // 100, n_fft=640, defaults=asdict(DEFAULTS)
    )
    described.extra[IDLE_KEY] = ["protect"]
    voice, stored = small_converter(defaults=DEFAULTS), {METADATA_KEY: described.to_json()}
    graph = build_graph(voice, sample_rate=RATE, defaults=DEFAULTS, options=GraphOptions(), metadata=stored)
    save_graph(graph, folder / geometry.file_name)
    return folder / geometry.file_name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def voice(folder: Path) -> VoiceSession:
    return VoiceSession.open(small_voice_file(folder))


@pytest.fixture(scope="module")
def seen(folder: Path, voice: VoiceSession) -> dict[str, Any]:
    """What a browser made of the page, a voice, a recording and a microphone."""
    soundfile.write(folder / "speech.wav", utterance(RATE, 0, 1).samples, RATE, subtype="PCM_16")
    (folder / "wrong.onnx").write_bytes(b"no voice at all")
    plan = {
        "voice": str(voice.path),
        "sound": str(folder / "speech.wav"),
        "wrong": str(folder / "wrong.onnx"),
        "folder": str(folder),
        "live_seconds": LIVE_SECONDS,
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    command = [PYTHON, "-m", "tests.tools.voice_page_driver", str(folder / "plan.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nothing_leaves_the_machine_and_nothing_fails(seen: dict[str, Any]) -> None:
    here = seen["address"].rpartition("/")[0]

    assert seen["errors"] == []
    assert [url for url in seen["requests"] if not url.startswith((here, "blob:", "data:"))] == []


def test_what_is_no_voice_is_one_line(seen: dict[str, Any]) -> None:
    assert "no ONNX file" in seen["refused"] and "\n" not in seen["refused"]


def test_the_sliders_are_those_of_the_file(seen: dict[str, Any]) -> None:
    expected = {control.name for control in CONTROLS} - {"protect"}

    assert set(seen["sliders"]) == expected
    assert "small" in seen["facts"] and "speaker 1" in seen["facts"] and seen["factor"] > 0


@pytest.mark.parametrize(("name", "controls"), [("plain", {}), ("higher", {"pitch_shift": 5.0})])
def test_a_recording_becomes_what_onnxruntime_makes_of_it(
    seen: dict[str, Any], folder: Path, voice: VoiceSession, name: str, controls: dict[str, float]
) -> None:
    audio, _ = soundfile.read(folder / "speech.wav", dtype="float32")
    made, rate = soundfile.read(folder / f"{name}.wav", dtype="float32")

    assert seen["file_factor"] > 0 and rate == RATE
    np.testing.assert_allclose(made, np.clip(voice.run(audio, controls), -1, 1), atol=1e-3)


def test_live_goes_on_or_says_that_it_cannot(seen: dict[str, Any]) -> None:
    live = seen["live"]

    if "blocks" not in live:
        assert "too slow for live" in live["said"]
        return
    assert live["blocks"] >= 0.5 * LIVE_SECONDS / live["block"]
    assert live["stopped"] == "Start the microphone"


def test_the_page_fits_a_desk_and_a_phone_in_both_schemes(seen: dict[str, Any]) -> None:
    assert seen["widths"] == {"light 1200": 1200, "light 390": 390, "dark 1200": 1200, "dark 390": 390}
    assert {case: poor for case, poor in seen["contrast"].items() if poor} == {}
    assert seen["labels"] == {"unlabelled": [], "jumps": 0}
