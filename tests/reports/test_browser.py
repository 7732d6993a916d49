"""The pages in a real browser: Debian's Chromium, driven by playwright.

    apt install chromium; pip install playwright

Where playwright is installed for another Python, VOCLO_BROWSER_PYTHON names that one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tools.report_tools import add_judged, falling, write_card, write_conversions, write_run
from utils.config.report import report_job
from utils.reports.report import write_report

DRIVER = Path(__file__).resolve().parents[1] / "tools" / "browser_driver.py"
CHROMIUM = Path("/usr/bin/chromium")
PYTHON = os.environ.get("VOCLO_BROWSER_PYTHON", sys.executable)


def has_playwright() -> bool:
    asked = subprocess.run([PYTHON, "-c", "import playwright"], capture_output=True, check=False)
    return asked.returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt install chromium"),
    pytest.mark.skipif(not has_playwright(), reason=f"{PYTHON} has no playwright; VOCLO_BROWSER_PYTHON names one"),
]


def look_at(page: Path, folder: Path) -> dict[str, Any]:
    done = subprocess.run([PYTHON, DRIVER, page, folder], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run's page with sounds, a name that is code, and what a browser made of it."""
    folder = tmp_path_factory.mktemp("pages")
    run = write_run(folder / "<img src=x onerror=window.planted=1>", falling(8), num_states=3, seconds=2.0)
    add_judged(run, {500: 0.3, 1000: 0.8, 1500: 0.5})
    sources, converted, target = write_conversions(folder)
    overrides = [f"sources={sources}", f"converted={converted}", f"target={target}"]
    job = report_job([f"output={folder / 'page.html'}", *overrides, "run=placeholder"]).with_values({"run": str(run)})
    write_report(job)
    return look_at(folder / "page.html", folder)


def test_the_page_needs_no_network_and_makes_no_error(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    assert {url.split(":")[0] for url in seen["requests"]} <= {"file", "data", "blob"}
    assert len([url for url in seen["requests"] if url.startswith("file")]) <= 6  # each opening, and the reload


def test_a_name_that_is_code_stays_text(seen: dict[str, Any]) -> None:
    assert seen["dialogs"] is None


def test_the_page_fits_a_desk_and_a_phone(seen: dict[str, Any]) -> None:
    assert seen["widths"] == {"light 1200": 1200, "light 390": 390, "dark 1200": 1200, "dark 390": 390}


def test_text_has_contrast_in_both_schemes_and_everything_has_a_name(seen: dict[str, Any]) -> None:
    assert {case: poor for case, poor in seen["contrast"].items() if poor} == {}
    assert seen["labels"] == {"unlabelled": [], "jumps": 0}


def test_a_player_switches_between_sounds_at_the_same_place(seen: dict[str, Any]) -> None:
    playing = seen["playing"]

    assert seen["players"] == 5  # conversions, held-out clips and a stranger
    assert playing["error"] == ""
    assert playing["before"] > 0
    assert playing["before"] <= playing["after"] < playing["before"] + 1.5
    assert playing["pressed"] == ["false", "true", "false"]
    assert playing["heard"] == [[1, 0, 0], [0, 1, 0]]


def test_a_player_is_used_by_keyboard_alone(seen: dict[str, Any]) -> None:
    playing = seen["playing"]

    assert playing["pressed_by_key"] == "true"
    assert playing["stopped_by_key"] == "false"
    assert playing["rests"] and playing["moved_by_key"]


def test_answers_of_the_blind_test_are_kept_and_saved(seen: dict[str, Any]) -> None:
    blind = seen["blind"]
    answers = blind["saved"]["answers"]

    assert len(answers) == 5
    assert all(item["answer"] == "a" and item["correct"] == (item["x"] == "a") for item in answers)
    assert answers[0]["better"] == answers[0]["a"] and answers[1]["better"] is None
    assert f"{sum(item['correct'] for item in answers)} of 5 right" in blind["result"]
    assert blind["after_reload"] == blind["result"]


def test_the_page_of_an_exported_voice_is_as_clean(tmp_path: Path) -> None:
    export = write_card(tmp_path / "alice", ("PASS", "FAIL", "SKIP", "WARN"))
    write_report(report_job([f"voice={export}"]))

    found = look_at(export / "report.html", tmp_path)

    assert found["errors"] == []
    assert found["verdict"].startswith("1 of 4 rules")
    assert not any(found["contrast"].values())
