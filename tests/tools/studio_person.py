"""Somebody in front of the studio, in Debian's Chromium: clicks, types, chooses files, waits for jobs."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]  # fmt: skip
PAGE_MS = 120_000  # a page whose browser shares two processors with a dozen other programs
JOB_MS = 900_000  # an export on a machine that is busy with tests
STEPS = re.compile(r"\d+/\d+ steps")


# the page's own line to the studio is open: what is pressed from here on arrives
ALIVE = "window.did_handshake === true"


def wait_until_alive(page: Page) -> None:
    """Wait until a page answers to what is pressed."""
    page.wait_for_function(ALIVE, timeout=PAGE_MS)


class Person:
    """Somebody in front of the studio who counts clicks."""

    def __init__(self, browser: Browser, address: str, downloads: Path) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
        self.context.set_default_timeout(PAGE_MS)
        self.page: Page = self.context.new_page()
        self.address, self.downloads = address, downloads
        self.clicks = 0
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def open(self, place: str) -> None:
        """Open a page and wait until it is alive."""
        self.page.goto(f"{self.address}{place}")
        wait_until_alive(self.page)

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

    def wait_for_page(self, place: str) -> None:
        """Wait until the page that a click leads to is alive."""
        self.page.wait_for_url(f"**{place}")
        wait_until_alive(self.page)

    def choose_files(self, paths: list[Path]) -> None:
        """Choose files in the dialog that the + opens: one click."""
        self.page.locator("input[type=file]").first.set_input_files([str(path) for path in paths])
        self.clicks += 1

    def wait_for_job(self, state: str = "done", number: int = 0) -> str:
        """Wait until the job of this page is in a state; returns its id."""
        ended = {state, "failed", "interrupted"}  # which nobody needs to wait for any longer
        cards = self.page.locator("[data-job]").nth(number)
        cards.and_(self.page.locator(", ".join(f"[data-state={word}]" for word in sorted(ended)))).wait_for(
            timeout=JOB_MS
        )
        found = cards.get_attribute("data-state")
        if found != state:
            raise AssertionError(f"the job is {found}: {cards.inner_text()}")
        return str(cards.get_attribute("data-job"))

    def wait_for_next(self, earlier: str = "") -> str:
        """Wait until the newest job of this page, another one than the earlier, is done; returns its id."""
        card = self.page.locator(f'[data-job]:not([data-job="{earlier}"])[data-state="done"]').first
        card.wait_for(timeout=JOB_MS)
        return str(card.get_attribute("data-job"))

    def choose(self, label: str, option: str) -> None:
        """Choose from a list: two clicks."""
        self.page.get_by_label(label, exact=True).first.click()
        self.page.get_by_role("option", name=option).first.click()
        self.clicks += 2
        self.page.wait_for_timeout(400)

    def download(self, name: str) -> Path:
        """Click on a link that saves a file; returns it."""
        with self.page.expect_download() as waited:
            self.page.get_by_role("link", name=name).first.click()
        self.clicks += 1
        target = self.downloads / waited.value.suggested_filename
        waited.value.save_as(target)
        return target
