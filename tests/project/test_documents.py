"""The documents: links lead somewhere, pages are short, figures link to the file with the command that made them."""

import re
from pathlib import Path

import pytest

from tests.tools.document_tools import ROOT, anchors_of, links_of, pages, paragraphs, read, spans_of, without_code

RESULTS = Path("benchmarks/results")
RESULT_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*_(?P<machine>[a-z0-9-]+)_\d{4}-\d{2}-\d{2}\.md")
LIMITS = {"docs/guides": 120, "docs/tutorials": 120, ".": 150}
# decimals, percentages, sizes and multiples: what was measured or counted; settings and limits stand in `code`
FIGURE = re.compile(r"(?<![\w.])\d*\.\d+(?![\w.]|-\d)|\d ?%|\d ?[kMG]B\b|\b\d+ times (?:as|faster|real)")
SOFTWARE = re.compile(r"\b(?:Python|torch|PyTorch|onnxruntime|SLURM|version) \d+(?:\.\d+)+")
# which version of the weights a figure belongs to is said in results and model cards alone
WEIGHTS = re.compile(r"\b(?:(?:content )?encoder|base voice|(?:content|base) version) \d\b", re.IGNORECASE)
PAGES = pages()
GUIDED = [page for page in PAGES if page == Path("README.md") or page.parent.as_posix() in LIMITS.keys() - {"."}]
EXAMPLE = re.compile(r"/mine\.")  # what the reader is to make
TIMELESS = [page for page in PAGES if page.parts[0] in ("README.md", "CONTRIBUTING.md", "docs")]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in links_of(read(page)):
        target = (ROOT / page.parent / link.path).resolve() if link.path else ROOT / page
        anchors = anchors_of(read(target)) if target.suffix == ".md" and target.is_file() else set()
        if not target.exists() or (link.anchor and link.anchor not in anchors):
            broken.append(f"{link.path}#{link.anchor}")

    assert not broken, f"{page} links to {broken}"


@pytest.mark.parametrize("page", GUIDED, ids=str)
def test_pages_keep_their_length(page: Path) -> None:
    assert len(read(page).splitlines()) <= LIMITS[page.parent.as_posix()]


@pytest.mark.parametrize("page", GUIDED, ids=str)
def test_figures_link_to_their_result_file(page: Path) -> None:
    bare = []
    for paragraph in paragraphs(read(page)):
        words = SOFTWARE.sub("", without_code(re.sub(r"\]\([^)]*\)", "]", paragraph)))
        found = FIGURE.search(words)
        if found and RESULTS.as_posix() not in paragraph:
            bare.append(f"{found[0]} in: {words.strip()[:80]}")

    assert not bare, f"{page} has figures without a link to {RESULTS}: {bare}"


@pytest.mark.parametrize("page", TIMELESS, ids=str)
def test_versions_of_weights_stand_in_results_and_cards_alone(page: Path) -> None:
    assert not WEIGHTS.findall(without_code(read(page)))


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == RESULTS], ids=str)
def test_results_are_named_after_theme_machine_and_date(page: Path) -> None:
    index = read(RESULTS / "README.md")
    if page.name == "README.md":
        return
    match = RESULT_NAME.fullmatch(page.name)
    classes = re.findall(r"^\| `([a-z0-9-]+)` \|", index, re.MULTILINE)

    assert match and match["machine"] in classes
    assert f"({page.name})" in index, "the index of results does not name it"
    assert re.search(r"^    \S|^```", read(page), re.MULTILINE), "it has no command that made its figures"


def test_index_names_every_page_of_docs() -> None:
    named = {link.path for link in links_of(read("docs/README.md"))}
    present = {page.relative_to("docs").as_posix() for page in PAGES if page.parts[0] == "docs"} - {"README.md"}

    assert present <= named, sorted(present - named)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent != RESULTS and page.name != "CHANGELOG.md"], ids=str
)
def test_files_and_rooms_named_in_words_exist(page: Path) -> None:
    place = re.compile(r"(?:models|utils|tests|recipes|benchmarks|scripts|configs|hydra_plugins|docs)/[\w/.-]+")
    named = {span for span in spans_of(read(page)) if place.fullmatch(span) and not EXAMPLE.search(span)}

    assert not sorted(span for span in named if not (ROOT / span).exists())


def test_documents_named_in_code_exist() -> None:
    name = re.compile(r"(?:docs|benchmarks/results|models/weights)/[\w/.-]+\.md")
    folders = ("configs", "models", "utils", "benchmarks", "recipes", "scripts", "studio", "tests")
    files = [item for folder in folders for item in (ROOT / folder).rglob("*") if item.suffix in (".py", ".yaml")]
    absent = []
    for path in [*ROOT.glob("*.py"), *files]:
        named = name.findall(path.read_text(encoding="utf-8"))
        absent += [f"{path.relative_to(ROOT)}: {item}" for item in named if not (ROOT / item).is_file()]

    assert not absent
