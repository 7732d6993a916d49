"""Files of RVC are written so that the other programs read them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.rvc_tools import (
    saved,
    shared_weights,
    small_generator,
    webui_voice,
)
from utils.rvc.layout import PUBLISHED, published_order
from utils.rvc.reading import ForeignFile, read_foreign
from utils.rvc.writing import (
    VoiceRecord,
    optimizer_content,
    training_content,
    voice_content,
    with_published_speakers,
    with_rows,
)


def record(**changes: Any) -> VoiceRecord:
    values: dict[str, Any] = {
        "name": "bob",
        "published": next(item for item in PUBLISHED if item.name == "v2 48k"),
        "has_f0": True,
        "epoch": 12,
        "step": 3400,
        "speakers": ("bob",),
        "embedder": "contentvec",
        "f0_convention": "zero_unvoiced",
        "dataset_seconds": 3725.4,
        "created": "2026-11-21T12:00:00+00:00",
        "own": {"licence": "CC0"},
    }
    return VoiceRecord(**{**values, **changes})


def test_a_written_voice_reads_back_with_equal_weights_in_half_precision(tmp_path: Path) -> None:
    network = small_generator(num_speakers=2)
    content = voice_content(network.state_dict(), record(speakers=("ann", "bob"), f0_convention="interpolated"))

    file: ForeignFile = read_foreign(saved(tmp_path / "pair.pth", content))

    assert file.weights.keys() == shared_weights(network).keys()
    for name, value in shared_weights(network).items():
        torch.testing.assert_close(file.weights[name], value, rtol=0, atol=0)
    assert (file.program, file.f0_convention, file.embedder) == ("voclo_trainer", "interpolated", "contentvec")
    assert (file.epoch, file.step, file.speakers) == (12, 3400, ("ann", "bob"))


def test_a_written_voice_has_the_fields_of_both_programs(tmp_path: Path) -> None:
    content = voice_content(small_generator().state_dict(), record())

    assert content["config"] == [*webui_voice(small_generator())["config"][:-3], 1, 4, 48000]
    shown = {key: value for key, value in content.items() if key not in ("weight", "config", "model_hash")}
    assert shown == {
        "info": "12epoch", "sr": "48k", "f0": 1, "version": "v2", "epoch": 12, "step": 3400,
        "creation_date": "2026-11-21T12:00:00+00:00", "dataset_length": "01:02:05", "model_name": "bob",
        "author": "not stated", "embedder_model": "contentvec", "speakers_id": 1, "vocoder": "HiFi-GAN",
        "speaker_info": [{"id": 0, "name": "bob"}],
        "voclo_trainer": {
            "schema_version": 1, "f0_convention": "zero_unvoiced", "embedder": "contentvec", "speakers": ["bob"],
            "step": 3400, "licence": "CC0",
        },
    }  # fmt: skip
    assert not [name for name in content["weight"] if "enc_q" in name]
    assert {value.dtype for value in content["weight"].values()} == {torch.float16}


def test_the_hash_of_a_voice_is_of_its_weights() -> None:
    first, same, other = (
        voice_content(small_generator(seed=seed).state_dict(), record(name=name))["model_hash"]
        for seed, name in ((0, "a"), (0, "b"), (1, "a"))
    )

    assert first == same != other


def trained(network: torch.nn.Module) -> dict[str, Any]:
    """State of AdamW after a step in which every parameter had a gradient of its own."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.8, 0.99), eps=1e-9)
    for index, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, float(index + 1))
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize("order", ["rvc_webui", "applio"])
def test_moments_follow_their_parameters_into_the_order_of_a_program(order: Any) -> None:
    network = small_generator(num_speakers=2)
    names = [name for name, _ in network.named_parameters()]

    content = optimizer_content(trained(network), names, order, 109)

    theirs = published_order(names, order)
    assert content["param_groups"][0]["params"] == list(range(len(names)))
    for index, name in enumerate(theirs):
        moment = content["state"][index]["exp_avg"]
        shape = dict(network.named_parameters())[name].shape
        if name == "emb_g.weight":
            assert moment.shape == (109, 4) and not moment[2:].any()
            moment, shape = moment[:2], torch.Size([2, 4])
        assert moment.shape == shape
        torch.testing.assert_close(moment, torch.full(shape, 0.2 * (names.index(name) + 1)))


def test_a_resuming_program_can_load_optimizer_and_continue_its_schedule(tmp_path: Path) -> None:
    network = small_generator(num_speakers=109)
    names = [name for name, _ in network.named_parameters()]
    content = training_content(
        network.state_dict(),
        optimizer_content(trained(network), names, "applio", 109),
        record(),
        learning_rate=1e-4,
    )

    read = torch.load(saved(tmp_path / "G_3400.pth", content), weights_only=True)

    assert list(read)[:4] == ["model", "iteration", "optimizer", "learning_rate"]
    assert (read["iteration"], read["learning_rate"]) == (12, 1e-4)
    # the network of the other program registers the same parameters in its own order
    parameters = [torch.nn.Parameter(read["model"][name].clone()) for name in published_order(names, "applio")]
    optimizer = torch.optim.AdamW(parameters, lr=1.0)
    optimizer.load_state_dict(read["optimizer"])
    torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.999875, last_epoch=read["iteration"] - 1)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)


@pytest.mark.slow
def test_without_an_order_no_moment_is_written_and_any_program_can_load_it() -> None:
    network = small_generator()
    names = [name for name, _ in network.named_parameters()]

    content = optimizer_content(trained(network), names, None, 1)

    assert content["state"] == {}
    torch.optim.AdamW(network.parameters()).load_state_dict(content)


def test_the_speaker_table_grows_to_the_published_size_by_the_mean() -> None:
    weights = small_generator(num_speakers=3).state_dict()

    table = with_published_speakers(weights)["emb_g.weight"]

    torch.testing.assert_close(table[:3], weights["emb_g.weight"], rtol=0, atol=0)
    torch.testing.assert_close(table[3:], weights["emb_g.weight"].mean(0).expand(106, -1))
    assert with_rows(table, 5, fill=0.0) is table
