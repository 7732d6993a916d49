"""Open a page in Debian's Chromium, use it as a person does, and print what was seen as JSON.

    <a Python with playwright> tests/tools/browser_driver.py <page.html> <folder for downloads> [<folder for pictures>]

A process of its own: playwright need not be installed where the project is.
"""

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# notes every gain, so that one can tell which sound is heard
WATCH_GAINS = """
window.gains = [];
const create = AudioContext.prototype.createGain;
AudioContext.prototype.createGain = function () {
  window.gains.push(create.call(this));
  return window.gains.at(-1);
};
"""
CONTRAST = """
() => {
  const parse = (text) => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const channel = (value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (item) => {
    for (let node = item; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const item of document.querySelectorAll("body *")) {
    const own = [...item.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !item.checkVisibility() || item.closest("script, style, noscript") || item.disabled) continue;
    const style = getComputedStyle(item);
    const [one, two] = [light(parse(style.color)), light(behind(item))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const size = parseFloat(style.fontSize);
    const limit = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (ratio < limit) poor.push(`${item.tagName} ${item.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}
"""
UNLABELLED = """
() => {
  const text = (item) => item?.textContent.trim();
  const named = (item) => item.getAttribute("aria-label") || text(item) || text(item.closest("label")) || item.alt;
  const items = [...document.querySelectorAll("button, input, select, a, img, [role=img]")];
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((item) => Number(item.tagName[1]));
  const jumps = levels.filter((level, index) => index > 0 && level > levels[index - 1] + 1).length;
  return { unlabelled: items.filter((item) => !named(item)).map((item) => item.outerHTML.slice(0, 80)), jumps };
}
"""


def main(path: Path, downloads: Path, pictures: Path | None) -> dict[str, Any]:
    """Look at the page at two widths and in two colour schemes, then play and answer."""
    seen: dict[str, Any] = {"errors": [], "requests": [], "widths": {}, "contrast": {}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        seen["browser"] = browser.version
        for scheme in ("light", "dark"):
            for width in (1200, 390):
                page = opened(browser, path, seen, scheme, width)
                seen["widths"][f"{scheme} {width}"] = page.evaluate("document.documentElement.scrollWidth")
                seen["contrast"][f"{scheme} {width}"] = page.evaluate(CONTRAST)
                seen["labels"] = page.evaluate(UNLABELLED)
                if pictures:
                    page.screenshot(path=pictures / f"{path.parent.name}_{scheme}_{width}.png", full_page=True)
                page.context.close()
        page = opened(browser, path, seen, "light", 1200)
        seen["verdict"] = page.locator("#verdict").inner_text()
        seen["players"] = page.locator("[data-player]").count()
        seen["dialogs"] = page.evaluate("window.planted ?? null")
        if seen["players"]:
            seen["playing"] = play(page)
        if page.locator("[data-blind]").count():
            seen["blind"] = answer(page, downloads)
        browser.close()
    return seen


def opened(browser: Browser, path: Path, seen: dict[str, Any], scheme: Any, width: int) -> Page:
    """Open the page; errors on its console and everything it asks the network for are noted."""
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, accept_downloads=True)
    page = context.new_page()
    page.add_init_script(WATCH_GAINS)
    page.on("console", lambda note: seen["errors"].append(note.text) if note.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen["errors"].append(str(error)))
    page.on("request", lambda request: seen["requests"].append(request.url[:60]))
    page.goto(path.as_uri())
    return page


def play(page: Page) -> dict[str, Any]:
    """Play the first player, switch while it plays, then use it by keyboard alone."""
    player = page.locator("[data-player]").first
    sounds = player.locator("[data-sound]")
    player.locator("[data-play]").click()
    page.wait_for_function("document.querySelector('[data-player]').dataset.playing === 'true'")
    page.wait_for_timeout(300)
    heard = page.evaluate("window.gains.map((gain) => Math.round(gain.gain.value))")
    before = position(page)
    sounds.nth(1).click()
    page.wait_for_timeout(150)
    found = {
        "before": before,
        "after": position(page),
        "pressed": [sounds.nth(index).get_attribute("aria-pressed") for index in range(sounds.count())],
        "heard": [heard, page.evaluate("window.gains.map((gain) => Math.round(gain.gain.value))")],
        "error": player.locator("[data-error]").inner_text(),
    }
    page.keyboard.press("1")
    found["pressed_by_key"] = sounds.nth(0).get_attribute("aria-pressed")
    seek = player.locator("[data-seek]")
    seek.focus()
    page.keyboard.press(" ")
    found["stopped_by_key"] = page.evaluate("document.querySelector('[data-player]').dataset.playing")
    stopped = position(page)
    page.wait_for_timeout(200)
    found["rests"] = position(page) == stopped
    page.keyboard.press("ArrowRight")
    found["moved_by_key"] = position(page) > stopped
    return found


def position(page: Page) -> float:
    """Return where the first player is, in seconds."""
    return float(page.locator("[data-player] [data-time]").first.inner_text().split()[0])


def answer(page: Page, downloads: Path) -> dict[str, Any]:
    """Answer five trials, save the answers, and see whether they are still there after a reload."""
    blind = page.locator("[data-blind]")
    blind.locator("[data-trials]").select_option("5")
    blind.locator("button[type=submit]").click()
    for trial in range(5):
        for letter in "abx":
            blind.locator(f"[data-listen={letter}]").click()
            page.wait_for_timeout(30)
        if trial == 0:
            blind.locator("input[name=better][value=a]").check()
        blind.locator("[data-answer=a]").click()
    result = blind.locator("[data-result]").inner_text()
    with page.expect_download() as waiting:
        blind.locator("[data-download]").click()
    place = downloads / "answers.json"
    waiting.value.save_as(place)
    page.reload()
    return {
        "result": result,
        "saved": json.loads(place.read_text(encoding="utf-8")),
        "after_reload": page.locator("[data-result]").inner_text(),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]), folder)))
