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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # it is started as a file
from tests.tools.browser_driver import CONTRAST

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]  # fmt: skip
JOB_MS = 240_000


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


def training(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """A training is reloaded, seen in a second browser, stopped, and goes on."""
    seen: dict[str, Any] = {}
    person.open("/train")
    person.type("Name of the training", "again")
    person.click("Train")
    name = person.wait_for_job("running")
    person.page.reload()
    seen["after_reload"] = person.wait_for_job("running") == name
    seen["typed"] = person.page.get_by_label("Name of the training").input_value()
    other = Person(person.context.browser, person.address, person.downloads)
    other.open("/jobs")
    seen["other_browser"] = other.wait_for_job("running") == name
    other.open("/train")
    seen["typed_there"] = other.page.get_by_label("Name of the training").input_value()
    person.page.get_by_text("/1000000 steps").first.wait_for(timeout=JOB_MS)  # it has begun: there is something to save
    seen["progress"] = person.page.locator("[data-job]").inner_text()
    person.click("Stop")
    person.wait_for_job("stopped")
    seen["stopped_there"] = other.wait_for_job("stopped") == name
    person.click("Go on")
    again = person.wait_for_job("running")
    seen["goes_on"] = again != name
    person.page.get_by_text("/1000000 steps").first.wait_for(timeout=JOB_MS)
    person.click("Stop")
    person.wait_for_job("stopped")
    seen["errors_there"] = other.errors
    return seen


def wrong(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Files and names that are no good are told where they were given."""
    seen: dict[str, Any] = {}
    person.open("/data")
    text = person.downloads / "notes.txt"
    text.write_text("no sound", "utf-8")
    person.choose_files([text])
    alert = person.page.locator("[role=alert]").filter(has_text="refused")  # not what is said of a full disk
    alert.wait_for()
    seen["kind"] = alert.inner_text()
    person.type("Name of the voice", "a/b")
    person.click("Make the dataset")
    field = person.page.locator(".q-field--error")
    field.first.wait_for()
    seen["field"] = field.first.inner_text()
    person.type("Name of the voice", "broken")
    broken = person.downloads / "broken.wav"
    broken.write_bytes(b"this is no sound at all" * 99)
    person.choose_files([broken])
    person.page.get_by_text("1 recordings in recordings/broken").wait_for()
    person.click("Make the dataset")
    person.wait_for_job("failed")
    seen["job"] = person.page.locator("[data-job] [role=alert]").inner_text()
    return seen


def recorded(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """The room is listened to, two sentences are read into the browser's own test microphone, one of them again."""
    seen: dict[str, Any] = {}
    person.open("/record")
    person.click("Listen to the room")
    room = person.page.get_by_text("dB)").first
    room.wait_for()
    seen["room"] = room.inner_text()
    for number in (1, 2):
        person.click("Record")
        person.page.get_by_text("Recording ...").wait_for()
        person.page.wait_for_timeout(2000)
        seen[f"level {number}"] = person.page.locator("#meter").inner_text()
        person.click("Stop and keep")
        person.page.get_by_text(f"Sentence {number} ").first.wait_for()
        person.page.wait_for_timeout(500)
        if person.page.get_by_role("button", name="Record again").count():
            person.click("Next")
    seen["summary"] = person.page.get_by_text("minutes;").inner_text()
    person.click("Previous")
    person.click("Record again")
    person.page.get_by_text("Recording ...").wait_for()
    person.page.wait_for_timeout(1500)
    person.click("Stop and keep")
    person.page.wait_for_timeout(1500)
    person.click("Go on with these recordings")
    person.page.get_by_text("2 recordings in").wait_for()
    return seen


def looks(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Every page at two widths and in two colour schemes: its width, contrast, names of its controls."""
    seen: dict[str, Any] = {"widths": {}, "contrast": {}, "unlabelled": {}}
    browser = person.context.browser
    assert browser is not None
    for scheme in ("light", "dark"):
        for width in (1200, 390):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            for name in PAGES:
                page.goto(f"{person.address}/{name}")
                page.wait_for_load_state("networkidle")
                page.wait_for_timeout(700)
                case = f"{name} {scheme} {width}"
                seen["widths"][case] = page.evaluate("document.documentElement.scrollWidth")
                seen["contrast"][case] = page.evaluate(CONTRAST)
                seen["unlabelled"][case] = page.evaluate(UNLABELLED)
                if (person.downloads / "pictures").is_dir():
                    place = person.downloads / "pictures" / f"{name or 'home'}_{scheme}_{width}.png"
                    page.screenshot(path=place, full_page=True)
            context.close()
    return seen


def languages(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Another language and other colours are chosen and stay."""
    seen: dict[str, Any] = {}
    person.open("/train")
    person.click("Language")
    person.page.get_by_text("Deutsch").click()
    person.page.get_by_role("heading", name="Trainieren").wait_for()
    person.click("Farben")
    person.page.get_by_text("Dunkel").click()
    person.page.locator("body.body--dark").wait_for()
    person.open("/data")
    seen["heading"] = person.page.locator("h1").inner_text()
    seen["language"] = person.page.evaluate("document.documentElement.lang")
    seen["dark"] = person.page.locator("body.body--dark").count() == 1
    return seen


def reaction(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Milliseconds from a key that is pressed to what the server answers, 30 times; both ways, as a person sees it."""
    person.open("/record")
    button = person.page.get_by_role("button", name="Next", exact=True)
    button.focus()
    measured = []
    for number in range(2, 20):
        began = time.monotonic()
        person.page.keyboard.press("Enter")
        person.page.get_by_text(f"Sentence {number} of").wait_for()
        measured.append(1000 * (time.monotonic() - began))
        person.page.wait_for_timeout(150)
    return {"milliseconds": [round(value) for value in measured]}


# controls without a name: letters that are drawn as a picture ("add_box") are none
UNLABELLED = """
() => {
  const own = (item) => {
    const copy = item.cloneNode(true);
    copy.querySelectorAll("[aria-hidden=true]").forEach((node) => node.remove());
    return copy.textContent.trim();
  };
  const around = (item) => item.closest("label, [aria-label]");
  const named = (item) => item.getAttribute("aria-label") || own(item) || around(item) || item.alt;
  const kinds = "button, input, textarea, a, [role=button], [role=checkbox], [role=radio]";
  const items = [...document.querySelectorAll(kinds)];
  const seen = items.filter((item) => item.checkVisibility() && !item.matches(".hidden, .q-uploader__input"));
  return seen.filter((item) => !named(item)).map((item) => item.outerHTML.slice(0, 120));
}
"""
PAGES = ("", "record", "data", "train", "listen", "deliver", "convert", "library", "jobs", "system")
SCENARIOS = {
    "voice": voice, "training": training, "wrong": wrong, "recorded": recorded, "looks": looks, "languages": languages,
    "reaction": reaction,
}  # fmt: skip


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
