"""Use the studio in Debian's Chromium as a person does, and print what was seen as JSON.

    <a Python with playwright> tests/tools/studio_driver.py <address> <scenario> <folder of recordings> <folder>

A process of its own: playwright need not be installed where the project is. Each scenario is a function below; clicks
are counted, typing is not.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]  # fmt: skip
JOB_MS = 280_000


class Person:
    """Somebody in front of the studio who counts clicks."""

    def __init__(self, browser: Browser, address: str, downloads: Path) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
        self.page: Page = self.context.new_page()
        self.address, self.downloads = address, downloads
        self.clicks = 0
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def open(self, place: str) -> None:
        """Open a page and wait until it is alive."""
        self.page.goto(f"{self.address}{place}")
        self.page.wait_for_load_state("networkidle")

    def click(self, name: str, kind: str = "button") -> None:
        """Click on what has this name."""
        self.page.get_by_role(kind, name=name, exact=True).first.click()
        self.clicks += 1

    def type(self, label: str, text: str) -> None:
        """Replace what stands in a field."""
        field = self.page.get_by_label(label, exact=True).first
        field.fill(text)
        field.blur()
        self.page.wait_for_timeout(400)

    def choose_files(self, paths: list[Path]) -> None:
        """Choose files in the dialog that the + opens: one click."""
        self.page.locator("input[type=file]").first.set_input_files([str(path) for path in paths])
        self.clicks += 1

    def wait_for_job(self, state: str = "done", number: int = 0) -> str:
        """Wait until the job of this page is in a state; returns its id."""
        card = self.page.locator(f'[data-job][data-state="{state}"]').nth(number)
        card.wait_for(timeout=JOB_MS)
        return str(card.get_attribute("data-job"))

    def download(self, name: str) -> Path:
        """Click on a link that saves a file; returns it."""
        with self.page.expect_download() as waited:
            self.page.get_by_role("link", name=name).first.click()
        self.clicks += 1
        target = self.downloads / waited.value.suggested_filename
        waited.value.save_as(target)
        return target


def voice(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """From an empty disk to a converted file and back to the rules, by clicks alone."""
    seen: dict[str, Any] = {}
    person.open("/data")
    person.choose_files(recordings)
    person.page.get_by_text(f"{len(recordings)} recordings in").wait_for()
    person.click("Make the dataset")
    person.wait_for_job()
    seen["verdict"] = person.page.locator("main").inner_text()
    person.click("Train with it")
    person.page.wait_for_load_state("networkidle")
    person.type("Minutes at most (empty means no limit)", "0.05")
    person.click("Train")
    person.wait_for_job()
    person.page.locator("audio").first.wait_for()
    seen["sounds"] = person.page.locator("audio").count()
    person.click("Deliver it")
    person.page.wait_for_load_state("networkidle")
    person.click("The owner of this voice has agreed", "checkbox")
    person.page.wait_for_timeout(400)
    person.click("Export")
    person.wait_for_job()
    seen["delivered"] = person.page.locator("main").inner_text()
    person.click("Convert with it")
    person.page.wait_for_load_state("networkidle")
    person.choose_files(recordings[:1])
    person.page.get_by_text("1 recordings chosen").wait_for()
    person.click("Convert")
    person.wait_for_job()
    saved = person.download(f"Download {recordings[0].stem}.wav")
    seen["converted"] = str(saved)
    seen["clicks"] = person.clicks
    person.open("/deliver")
    person.click("Try every rule again")
    person.page.locator("[data-job]").nth(1).wait_for()
    person.wait_for_job(number=1)
    return seen


SCENARIOS = {"voice": voice}


def main(address: str, scenario: str, recordings: Path, folder: Path) -> dict[str, Any]:
    """Run a scenario."""
    began = time.monotonic()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        person = Person(browser, address, folder)
        try:
            seen = SCENARIOS[scenario](person, sorted(recordings.glob("*.wav")))
        except Exception:
            person.page.screenshot(path=folder / "failed.png", full_page=True)
            raise
        seen["errors"] = person.errors
        seen["seconds"] = round(time.monotonic() - began, 1)
        browser.close()
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
