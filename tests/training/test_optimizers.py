"""Optimizer, schedule and memory layout as configured: who decays, how the rate moves, what is refused."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close

from models.discriminators import MultiResolutionDiscriminator
from models.layers.weight_norm import WeightNormConv1d
from models.rvc_discriminators import RvcDiscriminator
from tests.tools.training_tools import make_dataset, training
from tests.training.test_step import batch_of, fit, make, weights
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.training.assembly import learning_rate_factor
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train
from utils.training.optimizers import build_optimizer, decay_groups, prepare_networks, require_same_optimizers


class Mixed(nn.Module):
    """One of each kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.table = nn.Embedding(1, 4)
        self.norm = nn.LayerNorm([2, 4])
        self.scale = nn.Parameter(torch.ones(4))
        self.ours = WeightNormConv1d(2, 3, 5)
        self.theirs = weight_norm(nn.Conv1d(2, 3, 5))
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.shared = self.linear


def names_of(network: nn.Module, group: dict[str, Any]) -> set[str]:
    return {name for name, value in network.named_parameters() for item in group["params"] if item is value}


def test_only_weights_decay() -> None:
    network = Mixed()

    decaying, others = decay_groups(network)

    assert names_of(network, decaying) == {
        "linear.weight", "table.weight", "ours.weight_v", "theirs.parametrizations.weight.original1",
    }  # fmt: skip
    assert names_of(network, others) == {
        "linear.bias", "norm.weight", "norm.bias", "scale", "ours.weight_g", "ours.bias", "theirs.bias",
        "theirs.parametrizations.weight.original0",
    }  # fmt: skip
    assert others["weight_decay"] == 0.0 and "weight_decay" not in decaying


@pytest.mark.parametrize("decay_all", [False, True])
def test_decay_pulls_only_what_decays(decay_all: bool) -> None:
    changed = ["optim.optimizer.weight_decay=0.5", "optim.optimizer.lr=0.1", f"optim.decay_all={decay_all}"]
    network = Mixed()
    before = copy.deepcopy(dict(network.named_parameters()))
    optimizer = build_optimizer(train_job(changed).optim, "32-true")(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.step()

    # decoupled decay with a gradient of nothing: a factor of 1 - 0.1 * 0.5
    after = dict(network.named_parameters())
    factor = 0.95 if decay_all else 1.0
    assert_close(after["linear.weight"], 0.95 * before["linear.weight"])
    assert_close(after["norm.weight"], factor * before["norm.weight"])
    assert_close(after["linear.bias"], factor * before["linear.bias"])


def test_fused_kernel_makes_the_same_update() -> None:
    networks = [nn.Linear(20, 10, bias=True) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    optimizers = [
        build_optimizer(train_job([f"optim.fused={fused}"]).optim, "32-true")(network)
        for fused, network in zip(("true", "false"), networks, strict=True)
    ]

    for step in range(5):
        for network, optimizer in zip(networks, optimizers, strict=True):
            network.weight.grad = torch.randn(10, 20, generator=torch.Generator().manual_seed(step))
            network.bias.grad = torch.ones(10)
            optimizer.step()

    assert [optimizer.param_groups[0].get("fused") for optimizer in optimizers] == [True, None]
    assert_close(networks[0].weight, networks[1].weight, atol=1e-6, rtol=1e-5)


def test_fused_kernel_is_left_where_it_cannot_be() -> None:
    network = nn.Linear(2, 2)

    half = build_optimizer(train_job([]).optim, "16-mixed")(network)
    other = build_optimizer(train_job(["optim.optimizer._target_=torch.optim.NAdam"]).optim, "32-true")(network)

    assert half.param_groups[0].get("fused") is None
    assert "fused" not in other.param_groups[0]
    with pytest.raises(ConfigError, match=r"optim\.fused=true cannot be used here: .*16-mixed"):
        build_optimizer(train_job(["optim.fused=true"]).optim, "16-mixed")
    with pytest.raises(ConfigError, match="NAdam has no fused kernel"):
        build_optimizer(train_job(["optim.fused=true", "optim.optimizer._target_=torch.optim.NAdam"]).optim, "32-true")


def factors(steps: list[int], *overrides: str, epoch_steps: int = 1) -> list[float]:
    factor = learning_rate_factor(train_job(["optim.warmup_steps=0", *overrides]), epoch_steps)
    return [factor(step) for step in steps]


@pytest.mark.slow
def test_each_schedule_follows_its_formula() -> None:
    steps = [0, 50, 100, 1000]

    assert factors(steps, "optim/schedule=constant") == [1.0] * 4
    assert factors(steps, "optim.schedule.half_life_steps=50") == pytest.approx([1, 0.5, 0.25, 2**-20])
    cosine = ["optim/schedule=cosine", "trainer.steps=100", "optim.schedule.final_share=0.2"]
    assert factors(steps, *cosine) == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert factors([25], *cosine) == pytest.approx([0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2])
    per_epoch = ["optim/schedule=per_epoch", "optim.schedule.decay_per_epoch=0.5"]
    assert factors([0, 9, 10, 35], *per_epoch, epoch_steps=10) == [1.0, 1.0, 0.5, 0.125]


def test_every_schedule_rises_first() -> None:
    for name in ("constant", "half_life", "cosine", "per_epoch"):
        factor = learning_rate_factor(train_job([f"optim/schedule={name}", "optim.warmup_steps=4"]), 1000)
        assert [factor(step) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0], rel=1e-3), name


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim.schedule.half_life_steps=0"],
        ["optim/schedule=cosine", "optim.schedule.final_share=2"],
        ["optim/schedule=per_epoch", "optim.schedule.decay_per_epoch=2"],
    ],
)
def test_schedule_out_of_range_names_its_key(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=overrides[-1].partition("=")[0].replace(".", r"\.")):
        learning_rate_factor(train_job(overrides))


def test_average_under_accumulation_is_that_of_the_larger_batch() -> None:
    batches = [batch_of(4, seed=seed) for seed in (1, 2, 3)]
    whole, parts = make(ema_decay=0.9), make(ema_decay=0.9, accumulate=2)
    start = weights(whole.averaged)

    fit(whole, batches)
    fit(parts, batches)

    assert (weights(whole.averaged) - start).abs().max().item() > 1e-4
    assert_close(weights(parts.averaged), weights(whole.averaged), atol=2e-6, rtol=0)


@pytest.mark.slow
def test_old_optimizer_layout_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    datasets = make_dataset(tmp_path)
    run = train(training(datasets, tmp_path, "old", 1, "optim.decay_all=true"))
    before = (run / "config.yaml").read_text()

    with pytest.raises(ConfigError, match=r"last\.ckpt cannot be continued: .*optim\.decay_all=true") as caught:
        train(training(datasets, tmp_path, "old", 2, "resume=last"))

    assert "\n" not in str(caught.value)
    assert (run / "config.yaml").read_text() == before
    train(training(datasets, tmp_path, "old", 2, "resume=last", "optim.decay_all=true"))
    assert int(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]["steps_done"]) == 2


def test_other_layouts_are_named_too() -> None:
    network = Mixed()
    grouped, single = (
        build_optimizer(train_job([f"optim.decay_all={value}"]).optim, "32-true") for value in ("false", "true")
    )
    content = {"optimizer_states": [grouped(network).state_dict()]}

    require_same_optimizers(content, Path("last.ckpt"), grouped, [network])
    with pytest.raises(ConfigError, match=r"add optim\.decay_all=false"):
        require_same_optimizers(content, Path("last.ckpt"), single, [network])
    with pytest.raises(ConfigError, match="groups of"):
        require_same_optimizers(content, Path("last.ckpt"), grouped, [nn.Linear(2, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["light", "rvc"])
def test_channels_last_judges_the_same(kind: str) -> None:
    torch.manual_seed(0)
    discriminator: nn.Module = (
        MultiResolutionDiscriminator(windows=(64, 128), channels=4)
        if kind == "light"
        else RvcDiscriminator(periods=(2, 3), channels=64)
    )
    audio, laid_out = torch.randn(2, 2000), copy.deepcopy(discriminator)

    prepare_networks(train_job(["trainer.channels_last=true"]).trainer, make().generator, laid_out)

    expected, found = discriminator(audio), laid_out(audio)
    for one, other in zip(expected.scores, found.scores, strict=True):
        assert_close(other, one, atol=1e-5, rtol=1e-4)
    maps = [layer for layers in found.features for layer in layers if layer.ndim == 4 and layer.shape[1] > 1]
    # the discriminators of periods have their feature maps the other way round
    laid = [layer for layer in maps if any(is_laid_out(image) for image in (layer, layer.transpose(2, 3)))]
    assert len(laid) >= 2 / 3 * len(maps) > 0  # not those made of a single channel


def is_laid_out(image: torch.Tensor) -> bool:
    return image.is_contiguous(memory_format=torch.channels_last)


def test_compiling_without_a_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    if torch.cuda.is_available():
        pytest.skip("a GPU needs no C++ compiler")

    with pytest.raises(ConfigError, match=r"trainer\.compile=true needs a C\+\+ compiler") as caught:
        prepare_networks(train_job(["trainer.compile=true"]).trainer, make().generator, None)

    assert "\n" not in str(caught.value)


def test_compiled_networks_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    module = make()
    names = set(module.state_dict())
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: compiled.append(self))
    monkeypatch.setattr("utils.training.optimizers.shutil.which", lambda _: "/usr/bin/g++")

    prepare_networks(train_job(["trainer.compile=true"]).trainer, module.generator, module.discriminator)

    assert compiled == [module.generator, module.discriminator]
    assert set(module.state_dict()) == names
