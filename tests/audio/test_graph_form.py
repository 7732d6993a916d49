"""What is traced into a graph is a copy with other layers, which shares all tensors."""

import torch
from torch import Tensor, nn

from utils.audio.graph_form import graph_form, with_parts
from utils.audio.spectral import Stft, StftInGraph


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class Plain(nn.Module):
    def graph_form(self) -> nn.Module:
        return Doubled()

    def forward(self, x: Tensor) -> Tensor:
        return x + x


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.plain = Plain()
        self.again = self.plain
        self.parts = nn.Sequential(nn.Linear(2, 2), Plain())


def test_layers_are_replaced_at_every_depth_and_under_every_name() -> None:
    holder = Holder()

    form = graph_form(holder)

    assert isinstance(form, Holder)
    assert [type(part).__name__ for part in (form.plain, form.again, form.parts[1])] == ["Doubled"] * 3
    assert [type(part).__name__ for part in (holder.plain, holder.again, holder.parts[1])] == ["Plain"] * 3
    assert form.weight is holder.weight and form.parts[0] is holder.parts[0]


def test_a_module_without_such_layers_is_its_own_form() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    assert graph_form(module) is module


def test_a_copy_with_other_parts_leaves_the_original() -> None:
    holder, other = Holder(), nn.Identity()

    copied = with_parts(holder, plain=other)

    assert copied.plain is other and holder.plain is not other and copied.again is holder.again


def test_a_transform_keeps_its_settings() -> None:
    form = graph_form(Stft(12, 4, padding="reflect"))

    assert isinstance(form, StftInGraph) and (form.n_fft, form.hop_length, form.pad_mode) == (12, 4, "reflect")
