"""The table of controls, and what is made from it."""

from dataclasses import fields

import numpy as np
import pytest

from utils.errors import ConfigError
from utils.voice_file.controls import (
    ALL_CONTROLS,
    CONTROLS,
    Control,
    ControlDefaults,
    control_arrays,
    find_control,
    refuse_idle_controls,
)


def test_defaults_have_the_fields_of_the_table_in_its_order() -> None:
    assert [(item.name, item.default) for item in fields(ControlDefaults)] == [
        (control.name, control.default) for control in ALL_CONTROLS
    ]


@pytest.mark.parametrize("control", ALL_CONTROLS, ids=lambda control: control.name)
def test_every_default_and_trial_is_within_the_range(control: Control) -> None:
    low, high = control.trial

    assert all(control.low <= value <= control.high for value in (control.default, low, high))
    assert low != high


@pytest.mark.parametrize("control", ALL_CONTROLS, ids=lambda control: control.name)
def test_a_default_out_of_range_is_refused_with_the_range(control: Control) -> None:
    with pytest.raises(ConfigError, match=rf"export.defaults.{control.name}=.* allowed: between {control.low:g} and"):
        ControlDefaults(**{control.name: control.high + 1})  # type: ignore[arg-type]


def test_arrays_are_scalars_of_the_types_in_the_table() -> None:
    arrays = control_arrays({control.name: control.default for control in CONTROLS})

    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        control.name: (control.kind, ()) for control in CONTROLS
    }
    assert arrays["protect"] == np.float32(0.33)


def test_an_unknown_name_is_refused_with_the_names_that_are_known() -> None:
    with pytest.raises(ConfigError, match="loudness is no control; allowed: pitch_shift, speaker_id"):
        find_control("loudness")


def test_defaults_out_of_range_name_the_key() -> None:
    with pytest.raises(ConfigError, match=r"export\.defaults\.protect=2 .* between 0 and 0\.5"):
        ControlDefaults(protect=2.0)


def test_a_default_that_does_nothing_is_refused_by_its_key() -> None:
    message = r"^export\.defaults\.protect=0\.2 does nothing: the voice has no codebook .*; leave it out$"
    with pytest.raises(ConfigError, match=message):
        refuse_idle_controls({"export.defaults.protect": 0.2}, ["protect"], "the voice")
    with pytest.raises(ConfigError, match=r"^export\.pitch_shift=-4 does nothing: the voice is not told the pitch"):
        refuse_idle_controls({"export.pitch_shift": -4}, ["pitch_shift"], "the voice")

    refuse_idle_controls({"export.defaults.index_rate": 0.5, "export.defaults.protect": 0.0}, ["protect"], "the voice")
