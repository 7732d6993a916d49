"""From a page's data to its one file."""

import json
from pathlib import Path

import jinja2

from utils.files import atomic_write_text
from utils.reports.sections import Page

TEMPLATES = Path(__file__).parent / "templates"
PAGE = "report.html"
MOST_BYTES = 15_000_000
SOUND_BYTES = 12_000_000  # what the sounds and their pictures may take of it


def render(page: Page) -> str:
    """Return the page as HTML: one file, which loads nothing."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("page.html.j2")
    return template.render(
        page=page,
        style=_own("page.css"),
        scripts=[_own("players.js"), _own("blind.js")],
        sounds=json.dumps({sound.identifier: sound.data for group in page.groups for sound in group.sounds}),
    )


def write_page(page: Page, place: Path) -> int:
    """Write a page so that a browser never sees half of it; returns its size in bytes."""
    text = render(page)
    atomic_write_text(place, text)
    return len(text.encode("utf-8"))


def _own(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
