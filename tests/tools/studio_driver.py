"""Use the studio in Debian's Chromium as a person does, and print what was seen as JSON.

    <a Python with playwright> tests/tools/studio_driver.py <address> <scenario> <folder of recordings> <folder>

A process of its own: playwright need not be installed where the project is. Each scenario is a function below; clicks
are counted, typing is not.
"""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # it is started as a file
from tests.tools.studio_looks import PAGES, axe, foreign, looks
from tests.tools.studio_person import CHROMIUM, JOB_MS, OPTIONS, STEPS, Person


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
    person.wait_for_page("/train")
    person.type("Minutes at most (empty means no limit)", "0.05")
    person.click("Train")
    person.wait_for_job()
    person.page.locator("audio").first.wait_for()
    seen["sounds"] = person.page.locator("audio").count()
    person.click("Deliver it")
    person.wait_for_page("/deliver")
    person.click("The owner of this voice has agreed", "checkbox")
    person.page.wait_for_timeout(400)
    person.click("Export")
    person.wait_for_job()
    seen["delivered"] = person.page.locator("main").inner_text()
    person.click("Convert with it")
    person.wait_for_page("/convert")
    person.choose_files(recordings[:1])
    person.page.get_by_text("1 recording chosen").wait_for()
    person.click("Convert")
    person.wait_for_job()
    saved = person.download(f"Download {recordings[0].stem}.wav")
    seen["converted"] = str(saved)
    seen["clicks"] = person.clicks
    person.open("/deliver")
    person.click("Try every rule again")
    person.page.locator("[data-job]").nth(1).wait_for()
    person.wait_for_job(number=1)
    seen["page"] = _browser_page(person)
    _heard(person, recordings[0].stem, seen)
    _preview(person, seen)
    return seen


def _browser_page(person: Person) -> str:
    """Open the delivered voice in the page that converts in the browser; returns what it says, or why there is none."""
    absent = person.page.get_by_text("make web")
    if absent.count():
        return str(absent.first.inner_text())
    with person.context.expect_page() as waited:
        person.page.get_by_role("link", name="Open it in the page").first.click()
    facts = waited.value.locator("#voice-facts")
    facts.wait_for(timeout=JOB_MS)
    said = str(facts.inner_text())
    waited.value.close()
    return said


def _heard(person: Person, recording: str, seen: dict[str, Any]) -> None:
    """Convert the recording that was chosen with two settings of a saved state, and compare them blind."""
    person.open("/listen")
    person.click("Convert with this state")
    first = person.wait_for_next()
    person.choose("Saved state", "Last")
    person.type("How much is taken from the voice's own sounds (index_rate, 0 to 1)", "0.5")
    person.click("Convert with this state")
    person.wait_for_next(first)
    card = person.page.locator(f'[data-heard="{recording}"]')
    card.get_by_text("index_rate=0.5").wait_for()
    seen["heard"] = card.inner_text()
    person.choose("What is heard", recording)
    person.click("Begin")
    for letter in "ABA":
        person.click(f"{letter} is better")
        person.page.wait_for_timeout(300)
    person.click("Which was which?")
    result = person.page.locator("[data-blind] [role=status]")
    result.get_by_text("better").wait_for()
    seen["blind"] = result.inner_text()


def _preview(person: Person, seen: dict[str, Any]) -> None:
    """Hear the fixed sentence in a voice, once."""
    person.open("/library")
    person.click("Hear the fixed sentence")
    person.page.get_by_label("In this voice").wait_for(timeout=JOB_MS)
    seen["asks_again"] = person.page.get_by_role("button", name="Hear the fixed sentence").count()


def library(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Two voices are compared, one is renamed, deleted and brought back; a file of others becomes a voice, or not."""
    seen: dict[str, Any] = {}
    person.open("/library")
    person.page.get_by_text("Compare two").click()
    person.page.wait_for_timeout(600)  # what is folded slides open
    person.click("Compare")
    table = person.page.locator("[data-comparison] table")
    table.wait_for()
    seen["compared"] = table.inner_text()
    seen["compared_sounds"] = person.page.locator("[data-comparison] audio").count()
    person.page.get_by_label("Notes").first.fill("half a no")
    previews = person.downloads.parent / ".studio" / "previews"
    shutil.copytree(previews / "anna", previews / "carl")  # what a job writes that somebody waits for
    person.page.locator("[data-item=carl] audio").first.wait_for()
    seen["typed_note"] = person.page.get_by_label("Notes").first.input_value()
    seen["still_compared"] = table.count()
    field = person.page.get_by_label("Name for people").first
    field.fill("Anna the second")
    person.click("Keep")
    person.page.get_by_role("heading", name="Anna the second").wait_for()
    person.page.get_by_role("button", name="Delete").first.click()
    person.page.get_by_text("Bin (1)").click()
    person.click("Bring back")
    person.page.get_by_text("Bin (1)").wait_for(state="detached")
    seen["voices"] = person.page.locator("[data-item]").count()
    person.choose("Show", "Imported files")
    person.page.locator("input[type=file]").first.set_input_files(str(person.downloads / "bob.zip"))
    item = person.page.locator("[data-item=bob]")
    item.wait_for(timeout=JOB_MS)
    seen["imported"] = item.inner_text()
    person.click("Deliver it")
    person.wait_for_page("/deliver")
    person.click("The owner of this voice has agreed", "checkbox")
    person.page.wait_for_timeout(400)
    person.type("File or folder of that encoder on this computer, or hf:user/model", "no_such_encoder")
    person.click("Export")
    said = person.page.locator(".q-field--error, [role=alert]").filter(has_text="bob.pth").first
    said.wait_for(timeout=JOB_MS)
    seen["said"] = said.inner_text()
    return seen


def training(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """A training is reloaded, seen in a second browser, stopped, and goes on."""
    seen: dict[str, Any] = {"typed_at_once": []}
    for number in range(6):
        person.open("/train")
        person.type("Name of the training", f"at once {number}")
        person.page.wait_for_timeout(800)
        seen["typed_at_once"].append(person.page.get_by_label("Name of the training").input_value())
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
    recording = next(path for path in recordings if path.name == "recording.wav")
    person.type("Name of the voice", "../../escaped")
    field = person.page.locator(".q-field--error")
    field.first.wait_for()
    seen["field"] = field.first.inner_text()
    person.choose_files([recording])
    person.page.locator(".studio-error").filter(has_text="must be a plain name").wait_for()
    person.type("Name of the voice", "a/b")
    person.click("Make the dataset")
    seen["button"] = field.first.inner_text()
    person.open("/train")
    person.page.get_by_text("Every setting").click()
    search = person.page.get_by_label("Search settings", exact=True)
    search.fill("trainer.precision")
    person.page.get_by_text("trainer.precision", exact=True).wait_for()
    person.click("For RVC programs, as they train (needs recordings made for RVC)", "radio")
    search.fill("discriminator.periods")
    person.page.get_by_text("discriminator.periods", exact=True).wait_for()
    person.click("Tonight on this computer, from the base voice", "radio")
    search.fill("seed")
    person.page.get_by_text("seed", exact=True).wait_for()
    person.type("seed", "many")
    person.click("Train")
    field.first.wait_for()
    seen["setting"] = field.first.inner_text()
    person.open("/data")
    person.type("Name of the voice", "broken")
    broken = person.downloads / "broken.wav"
    broken.write_bytes(b"this is no sound at all" * 99)
    person.choose_files([broken])
    person.page.get_by_text("1 recording in recordings/broken").wait_for()
    person.click("Make the dataset")
    person.wait_for_job("failed")
    seen["job"] = person.page.locator("[data-job] [role=alert]").inner_text()
    return seen


def left(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Every page is left again while it still asks for what it shows; the record page while it listens to the room."""
    seen: dict[str, Any] = {}
    for name in PAGES * 3:
        person.page.goto(f"{person.address}/{name}", wait_until="commit")
        person.page.wait_for_timeout(250)
    person.open("/record")
    person.click("Listen to the room")
    person.page.wait_for_timeout(500)
    person.open("/system")
    person.page.get_by_text("of memory are free").wait_for()
    person.page.wait_for_timeout(5000)
    seen["still"] = person.page.locator("h1").inner_text()
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


def reaction_training(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """The same while a training runs that was started by a click, as soon as it makes its steps."""
    person.open("/train")
    person.click("Train")
    person.page.get_by_text(STEPS).first.wait_for(timeout=JOB_MS)
    seen = reaction(person, recordings)
    person.open("/train")
    seen["progress"] = person.page.get_by_text(STEPS).first.inner_text()
    person.click("Stop")
    person.wait_for_job("stopped")
    return seen


SCENARIOS = {
    "voice": voice, "training": training, "wrong": wrong, "recorded": recorded, "looks": looks, "languages": languages,
    "reaction": reaction, "reaction_training": reaction_training, "library": library, "axe": axe, "left": left,
    "foreign": foreign,
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
