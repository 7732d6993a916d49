"""What every page of the studio looks like to a browser: widths, contrast, names of controls, cut texts, axe-core."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.tools.browser_driver import CONTRAST
from tests.tools.studio_person import PAGE_MS, Person, wait_until_alive

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
# texts that end in dots or at an edge, and what is wider than its place
CUT = """
() => {
  const kinds = ".q-field__label, .q-field__native > span, .q-btn__content, .q-item__section, .q-checkbox__label, "
    + ".q-radio__label, .q-badge, h1, h2, h1 *, h2 *, label";
  const items = [...document.querySelectorAll(kinds)].filter((item) => item.closest(".studio-page"));
  const cut = items.filter((item) => item.checkVisibility() && item.scrollWidth > item.clientWidth + 1
    && getComputedStyle(item).display !== "inline");
  return cut.map((item) => `${item.className}: ${item.textContent.trim().slice(0, 80)}`);
}
"""
# each rule that does not hold, and where
AXE = """
async () => (await axe.run()).violations.map((rule) =>
  `${rule.id} (${rule.impact}): ${rule.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`)
"""
PAGES = ("", "record", "data", "train", "listen", "deliver", "convert", "library", "jobs", "system")


def axe(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """What axe-core, which is the only file beside the recordings, finds on each page; in light and dark."""
    seen: dict[str, Any] = {"violations": {}}
    browser = person.context.browser
    assert browser is not None
    for scheme in ("light", "dark"):
        page = browser.new_context(viewport={"width": 1200, "height": 900}, color_scheme=scheme).new_page()
        page.context.set_default_timeout(PAGE_MS)
        for name in PAGES:
            page.goto(f"{person.address}/{name}")
            wait_until_alive(page)
            page.wait_for_timeout(700)
            page.add_script_tag(path=person.downloads / "axe.min.js")
            seen["violations"][f"{name} {scheme}"] = page.evaluate(AXE)
        page.context.close()
    return seen


def looks(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Every page at two widths and in two colour schemes, all open: width, contrast, names of controls, cut texts."""
    seen: dict[str, Any] = {"widths": {}, "contrast": {}, "unlabelled": {}, "cut": {}}
    browser = person.context.browser
    assert browser is not None
    for scheme in ("light", "dark"):
        for width in (1200, 390):
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
            context.set_default_timeout(PAGE_MS)
            page = context.new_page()
            for name in PAGES:
                page.goto(f"{person.address}/{name}")
                wait_until_alive(page)
                page.wait_for_timeout(700)
                if (person.downloads / "pictures").is_dir():
                    place = person.downloads / "pictures" / f"{name or 'home'}_{scheme}_{width}.png"
                    page.screenshot(path=place, full_page=True, animations="disabled")
                _open_all(page)
                case = f"{name} {scheme} {width}"
                seen["widths"][case] = page.evaluate("document.documentElement.scrollWidth")
                seen["contrast"][case] = page.evaluate(CONTRAST)
                seen["unlabelled"][case] = page.evaluate(UNLABELLED)
                seen["cut"][case] = page.evaluate(CUT)
            context.close()
    return seen


def foreign(person: Person, recordings: list[Path]) -> dict[str, Any]:
    """Every page at the width of a phone in each translation, all open: what is wider, what is cut, all lines."""
    seen: dict[str, Any] = {"widths": {}, "cut": {}, "lines": {}}
    browser = person.context.browser
    assert browser is not None
    for language, code in (("Deutsch", "de"), ("中文", "zh")):
        context = browser.new_context(viewport={"width": 390, "height": 800})
        context.set_default_timeout(PAGE_MS)
        page = context.new_page()
        page.goto(f"{person.address}/system")
        wait_until_alive(page)
        page.get_by_role("button", name="Language", exact=True).click()
        page.get_by_text(language).click()
        page.locator(f'html[lang="{code}"]').wait_for(state="attached")  # the page loads itself anew
        for name in PAGES:
            page.goto(f"{person.address}/{name}")
            wait_until_alive(page)
            page.wait_for_timeout(700)
            _open_all(page)
            case = f"{language} {name}"
            seen["widths"][case] = page.evaluate("document.documentElement.scrollWidth")
            seen["cut"][case] = page.evaluate(CUT)
            seen["lines"][case] = page.locator("body").inner_text().splitlines()
            if (person.downloads / "pictures").is_dir():
                place = person.downloads / "pictures" / f"{name or 'home'}_{language}.png"
                page.screenshot(path=place, full_page=True, animations="disabled")
        context.close()
    return seen


def _open_all(page: Page) -> None:
    """Open all that is folded."""
    folded = page.locator(".studio-page .q-expansion-item--collapsed > .q-expansion-item__container > .q-item")
    while folded.count():
        folded.first.click()
        page.wait_for_timeout(100)
    page.wait_for_timeout(400)
