"""A network and its other forms share the weights and give the same, and no network asks whether it is traced."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.base import BaseVoiceConversionModel, StreamForm
from models.layers.stream_memory import Memory
from tests.tools.model_tools import MODEL_NAMES, small_model
from tests.tools.rvc_tools import small_generator
from utils.audio.graph_form import graph_form
from utils.config.train import train_job
from utils.errors import ExportError

ROOT = Path(__file__).resolve().parents[2]
DIM, FRAMES = 16, 30


def build(name: str) -> BaseVoiceConversionModel:
    torch.manual_seed(0)
    job = train_job([*small_model(name), "dataset.name=none"])
    model: BaseVoiceConversionModel = job.model.build(content_dim=DIM, num_speakers=3)
    return model.requires_grad_(False).eval()


def features(batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    f0_hz = 150 + 50 * torch.rand(batch, FRAMES, generator=generator)
    f0_hz[:, 10:14] = 0.0
    return (
        torch.randn(batch, FRAMES, DIM, generator=generator),
        f0_hz,
        -40 + 10 * torch.rand(batch, FRAMES, generator=generator),
        torch.arange(batch),
    )


def difference_db(found: Tensor, expected: Tensor) -> float:
    return 10 * float(torch.log10((found - expected).square().mean() / expected.square().mean() + 1e-20))


@pytest.mark.parametrize("name", [name for name in MODEL_NAMES if name != "lite_stream"])
def test_form_for_graphs_gives_what_the_network_gives(name: str) -> None:
    model = build(name)

    form = graph_form(model)

    assert isinstance(form, torch.nn.Module) and form is not model
    found = form.inference(*features())  # type: ignore[operator]
    assert difference_db(found, model.inference(*features())) < -100.0


@pytest.mark.parametrize("name", ["lite", "lite_stream"])
def test_both_forms_of_a_stream_give_the_same(name: str) -> None:
    stream = build(name).form("stream")

    form = graph_form(stream)

    assert isinstance(form, StreamForm) and type(form) is not type(stream)
    first, second = (item.pieces(*features(1), Memory()) for item in (stream, form))
    assert difference_db(second, first) < -100.0


@pytest.mark.slow
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_forms_share_the_weights_and_leave_the_network_as_it_is(name: str) -> None:
    model = build(name)
    before, parts = list(model.state_dict()), [id(part) for part in model.modules()]

    forms = [model.form(kind) for kind in {"graph", *model.forms}]

    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert all({parameter.data_ptr() for parameter in form.parameters()} <= own for form in forms)
    assert list(model.state_dict()) == before and [id(part) for part in model.modules()] == parts


def test_a_network_without_a_form_for_streams_says_so() -> None:
    with pytest.raises(ExportError, match="ToyVoice cannot convert a stream"):
        build("toy").form("stream")
    with pytest.raises(ExportError, match="ToyVoice has no form 'features'"):
        build("toy").form("features")


@pytest.mark.parametrize("has_f0", [True, False])
@pytest.mark.parametrize("has_window", [True, False])
def test_decoder_of_features_gives_the_same_in_a_graph(has_f0: bool, has_window: bool) -> None:
    voice = small_generator("rvc_v2_48k", f"model.use_f0={has_f0}", content_dim=DIM).requires_grad_(False).eval()
    content, f0_hz, _, _ = features(1)
    pitch = (torch.randint(1, 256, (1, FRAMES), generator=torch.Generator().manual_seed(2)), f0_hz) if has_f0 else None
    window = tuple(torch.tensor(value) for value in (5, 19, 23)) if has_window else None
    given = content, torch.tensor([FRAMES - 3]), pitch, torch.tensor([0])

    decoder = voice.form("features")

    expected = decoder(*given, window=window)
    assert expected.shape == (1, (23 if has_window else FRAMES) * 480)
    assert difference_db(graph_form(decoder)(*given, window=window), expected) < -100.0


def test_one_file_alone_asks_whether_it_is_traced() -> None:
    found = [path for room in ("models", "utils") for path in (ROOT / room).rglob("*.py")
             if "is_tracing" in path.read_text("utf-8")]  # fmt: skip

    assert [path.relative_to(ROOT).as_posix() for path in found] == ["utils/audio/reshaping.py"]
