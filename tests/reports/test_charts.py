"""Axes, curves and bars in percent of the plotting area."""

import math

import numpy as np
import pytest

from utils.reports.charts import MOST_POINTS, Axis, histogram, path_of, round_step, short


def test_an_axis_places_values_in_percent_and_keeps_them_inside() -> None:
    axis = Axis(10.0, 20.0)

    assert [axis.place(value) for value in (10.0, 15.0, 20.0, 25.0, 0.0)] == [0, 50, 100, 100, 0]
    assert Axis(10.0, 1000.0, True).place(100.0) == pytest.approx(50)


def test_ticks_are_round_and_inside() -> None:
    assert [tick.label for tick in Axis(0.0, 1000.0).ticks()] == ["0", "200", "400", "600", "800", "1000"]
    assert [tick.label for tick in Axis(60.0, 700.0, True).ticks()] == ["100", "200", "500"]
    assert Axis(5.0, 5.0).ticks()[0].place == 50


def test_a_curve_has_a_gap_where_a_value_is_no_number() -> None:
    axis = Axis(0.0, 2.0)

    assert path_of([(0, 0), (1, math.nan), (2, 2)], axis, axis) == "M0 100M100 0"
    assert path_of([(0, 0), (1, 1)], axis, axis) == "M0 100L50 50"


def test_a_long_curve_is_thinned_but_ends_where_it_ends() -> None:
    axis = Axis(0.0, 9999.0)
    path = path_of([(index, index) for index in range(10000)], axis, axis)

    assert path.count("L") <= MOST_POINTS + 1
    assert path.endswith("L100 0")


def test_a_histogram_counts_all_values_and_marks_the_median() -> None:
    chart = histogram(np.array([1.0, 2.0, 2.0, 3.0]), "Length", "seconds", what="clips", bins=4)

    assert sum(float(bar.label.split(": ")[1].split()[0]) for bar in chart.bars) == pytest.approx(100)
    assert chart.marks[0].label == "median 2 seconds"
    assert histogram(np.array([5.0, 5.0]), "Length", "s", what="clips").bars


def test_numbers_are_short_and_steps_are_round() -> None:
    assert [short(value) for value in (0.4157, 12.5, 191.6, 12000.0)] == [
        "0.416",
        "12.5",
        "192",
        "12\N{NARROW NO-BREAK SPACE}000",
    ]
    assert [round_step(value) for value in (0.7, 1.0, 3.0, 120.0)] == [1, 1, 5, 200]
