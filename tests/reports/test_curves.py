"""What the page of a run reads out of metrics.csv, and what its first line says."""

from pathlib import Path

import pytest

from tests.tools.report_tools import CONFIG, falling, rising_again, write_run
from utils.reports.curves import charts_of, read_curves, read_table, rule_of
from utils.reports.verdict import Quality, dataset_verdict, export_verdict, run_verdict

RULE = rule_of(CONFIG["overtraining"])


def test_rows_that_are_being_written_and_cells_that_are_empty_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,val/mel,a\n10,0.5,\n20,0.4,3\n30,0.", encoding="utf-8")

    assert read_table(tmp_path / "metrics.csv") == {"val/mel": [(10, 0.5), (20, 0.4)], "a": [(20, 3.0)]}
    assert read_table(tmp_path / "absent.csv") == {}


def test_the_chosen_state_is_the_latest_within_the_noise_of_the_lowest(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [(100, 0.5), (200, 0.4), (300, 0.40001), (400, 0.45)])

    assert read_curves(run / "metrics.csv", RULE).chosen == (300, 0.40001)


def test_a_discriminator_that_joins_makes_earlier_states_worthless(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [(100, 0.4), (200, 0.5), (300, 0.6)])

    assert read_curves(run / "metrics.csv", RULE, best_from_step=150).chosen == (200, 0.5)


def test_overtraining_is_a_band_of_the_curve_and_the_first_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", rising_again(12))

    curves = read_curves(run / "metrics.csv", RULE)
    chart = charts_of(curves)[0]

    assert curves.verdict is not None and curves.chosen is not None
    assert chart.bands and chart.bands[0].label == f"overtrained since step {curves.verdict.since}"
    assert chart.marks[0].label == f"chosen: step {curves.chosen[0]}"
    text = run_verdict(curves, 20.0, Quality())
    assert text.text.startswith(
        f"Overtrained since step {curves.verdict.since}; best.ckpt is of step {curves.chosen[0]}"
    )
    assert text.tone == "warn"


@pytest.mark.parametrize(
    ("criterion", "minutes", "words"),
    [
        ([], 20.0, "The training has begun"),
        ([(100, float("nan"))], 20.0, "The held-out loss is not a number"),
        (falling(2), 20.0, "Too early to tell: 2 validations so far"),
        (falling(5), 20.0, "Still learning: the held-out loss fell by"),
        (falling(60), 20.0, "Has levelled off"),
        (falling(60), 5.0, "More recordings would help more than longer training."),
        (falling(5), 5.0, "Longer training helps."),
    ],
)
def test_the_first_line_says_where_the_run_is(
    criterion: list[tuple[int, float]], minutes: float, words: str, tmp_path: Path
) -> None:
    curves = read_curves(write_run(tmp_path / "run", criterion) / "metrics.csv", RULE)

    assert words in run_verdict(curves, minutes, Quality()).text


def test_the_first_line_tells_what_a_listener_can_expect() -> None:
    means = {"e_source_to_target": 0.5, "e_converted_to_target": 0.8, "e_target_own": 0.9, "w_character_error": 0.08}
    close, far = Quality.of_means(means), Quality.of_means({**means, "e_converted_to_target": 0.6})

    assert close.sentence == "Close to the speaker, some words are lost"
    assert far.sentence == "Still far from the speaker, some words are lost"
    assert (close.tone, far.tone, Quality.of_means({}).sentence) == ("good", "bad", "")
    assert (
        export_verdict(0, 0, 37, close).text
        == "Close to the speaker, some words are lost; verified: all 37 rules hold."
    )


def test_failed_rules_and_thin_datasets_come_first() -> None:
    assert export_verdict(2, 1, 37, Quality()).tone == "bad"
    assert dataset_verdict(2.0, 0.1, 0, True) == (
        "Thin: 2.0 minutes; ten more would help more than anything else.",
        "bad",
    )
    text = dataset_verdict(12.0, 0.0, 1, False).text
    assert "nothing is held out" in text and "1 file could not be used" in text and "lower rate" in text


def test_figures_of_judged_states_are_drawn_by_themselves_the_score_first(tmp_path: Path) -> None:
    columns = "step,val/mel,evaluation/similarity,evaluation/held_out_similarity,evaluation/score"
    (tmp_path / "metrics.csv").write_text(f"{columns}\n10,0.4,0.5,0.9,0.1\n20,0.3,0.6,0.95,0.2\n", encoding="utf-8")
    curves = read_curves(tmp_path / "metrics.csv", RULE)

    charts = charts_of(curves, judged=True)

    assert [chart.title for chart in charts_of(curves)] == ["Held-out loss"]
    assert [chart.title for chart in charts] == ["Score of strangers", "Similarity"]
    assert [line.label for line in charts[1].lines] == ["strangers", "held-out sentences"]
    assert charts[1].y.high > 0.95 and charts[1].has_legend and not charts[0].has_legend


@pytest.mark.parametrize("step", ["\u00b2", "9" * 5000, "-1", "x", "1.5", ""])
def test_a_damaged_table_loses_the_rows_that_are_damaged(step: str, tmp_path: Path) -> None:
    rows = f"step,val/mel\n10,0.5\n{step},0.3\n20,0.".encode() + b"\xff4\n30,0.2\n"
    (tmp_path / "metrics.csv").write_bytes(rows)

    found = read_table(tmp_path / "metrics.csv")

    assert [number for number, _ in found["val/mel"]] == [10, 20, 30]
