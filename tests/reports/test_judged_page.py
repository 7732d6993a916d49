"""What the page of a run shows of states that were judged while it trained, and of its forecast."""

from pathlib import Path

from tests.tools.report_tools import add_judged, falling, write_run
from utils.reports.charts import Chart
from utils.reports.pages import Extras, run_page
from utils.reports.render import render
from utils.reports.sections import ChartsSection, FactsSection
from utils.reports.sounds import SoundMaker


def judged_run(folder: Path, *, selects: bool) -> Path:
    """Write a run of three judged states, of which the second has the best score."""
    run = write_run(folder, falling(3))
    text = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(f"{text}evaluation:\n  mode: background\n  selects: {selects}\n", "utf-8")
    add_judged(run, {500: 0.3, 1000: 0.8, 1500: 0.5})
    return run


def titles(charts: list[Chart]) -> list[str]:
    return [chart.title for chart in charts]


def test_judged_states_have_a_section_players_and_a_forecast_beside_them(tmp_path: Path) -> None:
    page = run_page(judged_run(tmp_path / "run", selects=False), Extras(), SoundMaker())

    judged = next(section for section in page.sections if section.anchor == "judged")
    curves = next(section for section in page.sections if section.anchor == "curves")
    forecast = next(section for section in page.sections if section.anchor == "forecast")
    assert isinstance(judged, ChartsSection) and isinstance(curves, ChartsSection)
    assert titles(list(judged.charts)) == ["Score of strangers", "F0 correlation"]
    assert "Score of strangers" not in titles(list(curves.charts))
    assert isinstance(forecast, FactsSection) and "trainer.steps=350" in forecast.facts[0].value
    assert [sound.label for sound in page.groups[0].sounds] == ["source", "step 500", "step 1000", "step 1500 (chosen)"]
    text = render(page)
    assert "held-out sentences</span>" in text and "As it looked at step 50" in text


def test_the_state_with_the_best_score_is_the_chosen_one_where_it_is_exported(tmp_path: Path) -> None:
    page = run_page(judged_run(tmp_path / "run", selects=True), Extras(), SoundMaker())

    assert "step 1000 (chosen)" in [sound.label for sound in page.groups[0].sounds]
    assert "best.ckpt is of step 1000" in page.verdict
    curves = next(section for section in page.sections if section.anchor == "curves")
    assert curves.intro == "The score of strangers chooses the state that is exported."
