"""Use the page of web/ in Debian's Chromium as a person does, and print what was seen as JSON.

    <a Python with playwright> -m tests.tools.voice_page_driver <plan.json>

The plan: voice, sound (a WAV file, also what the microphone hears), wrong (a file that is no voice), folder for what is
made, and live_seconds. A process of its own: playwright need not be installed where the project is.
"""

import functools
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.tools.browser_driver import CHROMIUM, CONTRAST, OPTIONS, UNLABELLED

WEB = Path(__file__).resolve().parents[2] / "web"
PATIENCE = 180_000  # milliseconds; the machine may be shared
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, as `python -m http.server` does, without a line for each."""

    def log_message(self, *values: Any) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[str]:
    """Serve the page on this machine and give its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(WEB)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()


def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Look at the page, convert the recording as it is and higher, and speak live."""
    seen: dict[str, Any] = {"errors": [], "requests": [], "widths": {}, "contrast": {}}
    hears = f"--use-file-for-fake-audio-capture={plan['sound']}"
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *MICROPHONE, hears])
        seen["browser"], seen["address"] = browser.version, address
        page = opened(browser, address, seen, "light", 1200)
        open_voice(page, plan["wrong"])
        seen["refused"] = page.locator("#error").inner_text()
        open_voice(page, plan["voice"])
        seen["facts"] = page.locator("#voice-facts").inner_text()
        seen["factor"] = float(page.locator("#voice-facts").get_attribute("data-factor") or 0)
        seen["sliders"] = page.locator("#controls input, #controls select").evaluate_all("all => all.map((i) => i.id)")
        convert(page, plan["sound"], Path(plan["folder"]) / "plain.wav")
        seen["file_factor"] = float(page.locator("#file-state").get_attribute("data-factor") or 0)
        look(page, seen, Path(plan["folder"]))
        page.locator("#pitch_shift").fill("5")
        convert(page, plan["sound"], Path(plan["folder"]) / "higher.wav")
        seen["live"] = speak(page, plan["live_seconds"])
        browser.close()
    return seen


def opened(browser: Browser, address: str, seen: dict[str, Any], scheme: Any, width: int) -> Page:
    """Open the page; errors on its console and everything it asks the network for are noted."""
    viewport: Any = {"width": width, "height": 844}
    page = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True).new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda note: seen["errors"].append(note.text) if note.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("request", lambda request: seen["requests"].append(request.url[:80]))
    page.goto(address)
    return page


def open_voice(page: Page, path: str) -> None:
    """Give the page a voice and wait until it is open or refused."""
    page.locator("#voice-file").set_input_files(path)
    page.wait_for_selector("#voice-facts:visible, #error:visible")


def convert(page: Page, sound: str, place: Path) -> None:
    """Convert a recording and keep what the page offers for download."""
    page.locator("#sound-file").set_input_files(sound)
    page.wait_for_selector("#convert:enabled")
    page.locator("#convert").click()
    page.wait_for_selector("#result:visible, #error:visible")
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(place)


def look(page: Page, seen: dict[str, Any], pictures: Path) -> None:
    """Note widths, contrast and names at two widths and in two colour schemes, with all parts of the page shown."""
    for scheme in ("light", "dark"):
        for width in (1200, 390):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 844})
            seen["widths"][f"{scheme} {width}"] = page.evaluate("document.documentElement.scrollWidth")
            seen["contrast"][f"{scheme} {width}"] = page.evaluate(CONTRAST)
            page.screenshot(path=pictures / f"voice_page_{scheme}_{width}.png", full_page=True)
    seen["labels"] = page.evaluate(UNLABELLED)


def speak(page: Page, seconds: float) -> dict[str, Any]:
    """Speak into the microphone for so long, if the machine is fast enough, and return what the page counted."""
    state = page.locator("#live-state")
    page.locator("#live").click()
    page.wait_for_selector("#live-state[data-blocks], #error:visible")
    if page.locator("#error").is_visible():
        return {"said": page.locator("#error").inner_text()}
    page.wait_for_timeout(1000 * seconds)
    counted = {name: float(value) for name, value in state.evaluate("item => ({...item.dataset})").items()}
    said = state.inner_text()
    page.locator("#live").click()
    return {"said": said, **counted, "stopped": page.locator("#live").inner_text()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
