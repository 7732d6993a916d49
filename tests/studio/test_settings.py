"""The search of settings: all that --help has, found by words of key and meaning."""

from studio.commands import PRESETS
from studio.settings import found, known_groups, settings_of
from utils.config.fields import fields_of
from utils.config.train import TrainJob


def test_every_key_and_group_of_a_training_is_there() -> None:
    keys = {item.key for item in settings_of("train")}

    plain = {key for key, _ in fields_of(TrainJob)}
    chosen = {key for key in plain if any(known.startswith(f"{key}.") for known in keys) or key in keys}
    assert plain - chosen == set()
    assert {"model", "pretrained", "optim/schedule"} <= keys


def test_words_are_looked_for_in_key_and_meaning_and_keys_come_first() -> None:
    hits = found(settings_of("train"), "batch size")

    assert hits[0].key.endswith("batch_size")
    assert found(settings_of("train"), "resolutions full of nonsense") == []


def test_choices_and_defaults_are_those_of_the_scripts() -> None:
    known = {item.key: item for item in settings_of("train")}

    assert known["trainer.precision"].choices == ("auto", "32-true", "bf16-mixed", "16-mixed")
    assert known["trainer.compile"].choices == ("true", "false")
    assert known["seed"].value == "1234"
    assert "rvc_v2_40k" in known["model"].choices


def test_a_chosen_group_brings_its_keys_and_the_default_is_what_the_page_gives() -> None:
    plain = {item.key for item in settings_of("train")}
    rvc = {item.key: item for item in settings_of("train", PRESETS["rvc"])}

    assert rvc.keys() - plain
    assert {"model", "audio", "optim/schedule"} <= known_groups("train") <= plain
    assert settings_of("train", ("trainer.steps=77",)) != settings_of("train")
    assert {item.key: item.value for item in settings_of("train", ("trainer.steps=77",))}["trainer.steps"] == "77"
