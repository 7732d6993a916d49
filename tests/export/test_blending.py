"""Voices between voices: runs, files of other programs and speakers of one voice; what does not fit is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.tools.rvc_tools import applio_voice, saved, settings_of, small_generator, webui_voice
from tests.tools.training_tools import make_dataset, training
from utils.audio.synthetic_speech import voice
from utils.config.blending import read_shares
from utils.config.export import export_job
from utils.errors import ConfigError
from utils.export import export
from utils.export.blended_runs import load_blended_voice, read_voice
from utils.export.blending import Blend, mean_pitch, mean_state, mixed_entries
from utils.export.description import describe
from utils.export.plans import plan_export
from utils.export.rvc.blended_files import blended_file
from utils.export.rvc.imported_voice import load_imported_network
from utils.rvc.reading import read_foreign
from utils.training.checkpoints import TrainedVoice, load_voice, read_checkpoint, voice_state
from utils.training.fit import train
from utils.voice_file.geometry import geometry_at


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of two speakers that began as one."""
    folder = tmp_path_factory.mktemp("runs")
    first = train(training(make_dataset(folder), folder, "first", 1))
    return first, changed(first, "second", lambda weight: weight + 0.1 * torch.randn_like(weight) * weight.std())


def changed(run: Path, name: str, change: Callable[[Tensor], Tensor]) -> Path:
    """Copy a run with other weights of its voice."""
    other = run.with_name(name)
    shutil.copytree(run, other)
    torch.manual_seed(0)
    for path in other.glob("checkpoints/*.ckpt"):
        content = torch.load(path, weights_only=True)
        for key, value in content["state_dict"].items():
            if key.startswith(("generator.", "averaged.")) and value.dim() > 1:
                content["state_dict"][key] = change(value)
        torch.save(content, path)
    return other


def sound_of(trained: TrainedVoice, speaker: int = 0, index_rate: float = 0.5) -> Tensor:
    sound = torch.from_numpy(voice(0.3, trained.io_rate))[None]
    controls = (torch.tensor(value) for value in (0.0, speaker, index_rate, 0.33, 1.0))
    with torch.no_grad():
        converted: Tensor = trained.converter(sound, *controls)
    return converted


def blended(runs: tuple[Path, ...], *shares: float) -> TrainedVoice:
    blend = Blend("runs", dict(zip(map(str, runs), shares, strict=True)))
    return load_blended_voice(Path(blend.heaviest), "last", blend, None, trust=(), with_codebook=True)


@pytest.mark.parametrize(
    ("typed", "shares"),
    [
        ("{a.pth: .6, b.pth: .4}", {"a.pth": 0.6, "b.pth": 0.4}),
        ("a.pth:1,b.pth:0", {"a.pth": 1.0, "b.pth": 0.0}),
        ("{'my, voice.pth': 0.5, C:\\x.pth: 0.5}", {"my, voice.pth": 0.5, "C:\\x.pth": 0.5}),
    ],
)
def test_shares_are_read_as_they_are_typed(typed: str, shares: dict[str, float]) -> None:
    assert export_job([f"blend={typed}"]).shares == shares


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("{a: .6, b: .6}", "sum to 1.2; they must sum to 1"),
        ("{a: 1}", "names 1 voice"),
        ("{a: -1, b: 2}", "the share of a is -1; allowed: 0 to 1"),
        ("{a: .5, a: .5}", "names a twice"),
        ("{a: half, b: .5}x", "cannot be read from"),
    ],
)
def test_shares_that_are_none_are_refused_in_one_line(typed: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_shares(typed)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["export=rvc_checkpoint"], "a blend was never trained"),
        (["blend={a.pth: .5, b: .5}"], "a.pth is a file of another program, b is none"),
        (["retrieval.codebook_size=64"], "retrieval.codebook_size does nothing with blend="),
    ],
)
def test_what_a_blend_cannot_have_is_refused(words: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        export_job(["blend={a: .5, b: .5}", *words])


@pytest.mark.slow
def test_a_share_of_one_is_that_run_number_by_number(runs: tuple[Path, Path]) -> None:
    originals = [sound_of(load_voice(run, "last")) for run in runs]
    assert not torch.equal(*originals)

    assert torch.equal(sound_of(blended(runs, 1.0, 0.0)), originals[0])
    assert torch.equal(sound_of(blended(runs, 0.0, 1.0)), originals[1])


def test_weights_of_a_blend_are_the_mean_by_the_shares(runs: tuple[Path, Path]) -> None:
    one, other = (voice_state(read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"]) for run in runs)

    made = blended(runs, 0.25, 0.75)

    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, 0.25 * one[name] + 0.75 * other[name])
    assert made.blend == {"first": 0.25, "second": 0.75}
    assert made.metrics == {}


def test_runs_that_did_not_begin_as_one_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(runs[0], tmp_path / "first")
    stranger = changed(tmp_path / "first", "stranger", torch.randn_like)

    with pytest.raises(ConfigError, match="have little in common") as caught:
        blended((runs[0], stranger), 0.5, 0.5)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_speaker_between_two_is_a_row_more(runs: tuple[Path, Path]) -> None:
    run = runs[0]
    plain = load_voice(run, "last")

    def with_row(**shares: float) -> TrainedVoice:
        return load_blended_voice(run, "last", Blend("speakers", shares), None, trust=(), with_codebook=True)

    made, ends = with_row(anna=0.5, bert=0.5), with_row(anna=0.0, bert=1.0)

    assert made.speakers == ["anna", "bert", "anna+bert"] and ends.speakers[2] == "anna+bert"
    assert torch.equal(sound_of(made, 1), sound_of(plain, 1))
    assert torch.equal(sound_of(ends, 2), sound_of(plain, 1))
    row = made.model.state_dict()["speaker.weight"]
    torch.testing.assert_close(row[2], row[:2].mean(dim=0))
    medians = [speaker.f0_median_hz or 0.0 for speaker in made.dataset.speakers]
    assert medians[2] == pytest.approx((medians[0] * medians[1]) ** 0.5)


def test_a_speaker_that_is_not_there_is_refused(runs: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="blend='carl' is not in"):
        read_voice(runs[0], "last", Blend("speakers", {"anna": 0.5, "carl": 0.5}))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two shared voices that began as one."""
    first = small_generator(num_speakers=2)
    second = small_generator(num_speakers=3)
    shared = first.state_dict()
    torch.manual_seed(1)
    second.load_state_dict(
        {
            name: torch.cat([shared[name], shared[name][:1]]) if name == "emb_g.weight" else value + 0.01 * value.abs()
            for name, value in shared.items()
        }
    )
    return saved(tmp_path / "a.pth", webui_voice(first)), saved(tmp_path / "b.pth", webui_voice(second))


def of_files(files: tuple[Path, ...], *shares: float) -> Blend:
    return Blend("files", dict(zip(map(str, files), shares, strict=True)))


def test_files_are_blended_as_the_other_programs_do(files: tuple[Path, Path]) -> None:
    one, other = (read_foreign(path).weights for path in files)

    made = blended_file(of_files(files, 0.3, 0.7))

    assert made.layout.num_speakers == 2
    for name, value in made.weights.items():
        theirs = other[name][:2] if name == "emb_g.weight" else other[name]
        torch.testing.assert_close(value, 0.3 * one[name].float() + 0.7 * theirs.float())


def test_a_blend_is_written_as_a_shared_voice(files: tuple[Path, Path], tmp_path: Path) -> None:
    words = [f"blend={{{files[0]}: 1, {files[1]}: 0}}", "export=rvc_pth", "name=ab", f"export.root={tmp_path / 'out'}"]

    outcome = export(export_job(words))

    written, original = read_foreign(outcome.files[0]), read_foreign(files[0])
    assert outcome.files[0].name == "ab.pth"
    assert all(torch.equal(value, written.weights[name]) for name, value in original.weights.items())
    assert written.f0_convention is original.f0_convention is None
    assert torch.load(outcome.files[0], weights_only=True)["info"] == "blend: a 1, b 0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"embedder_model": "spin"}, r"were trained on different content encoders \(contentvec, spin\)"),
        ({"vocoder": "HiFi-GAN", "model_hash": "0"}, None),
    ],
)
def test_files_of_different_kinds_are_refused(
    fields: dict[str, Any], reason: str | None, files: tuple[Path, Path], tmp_path: Path
) -> None:
    content = torch.load(files[0], weights_only=True)
    other = saved(tmp_path / "other.pth", {**content, **fields})

    if reason is None:
        assert blended_file(of_files((files[0], other), 0.5, 0.5)).f0_convention == "zero_unvoiced"
    else:
        with pytest.raises(ConfigError, match=reason):
            blended_file(of_files((files[0], other), 0.5, 0.5))


def test_files_of_other_starts_or_sizes_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    stranger = saved(tmp_path / "stranger.pth", webui_voice(small_generator(seed=5)))
    smaller = saved(tmp_path / "smaller.pth", applio_voice(small_generator("rvc_v2_48k", "model.filter_channels=8")))

    for other, reason in ((stranger, "have little in common"), (smaller, "networks of different sizes")):
        with pytest.raises(ConfigError, match=reason):
            blended_file(of_files((files[0], other), 0.5, 0.5))


def test_speakers_of_a_file_are_blended(files: tuple[Path, Path]) -> None:
    settings = settings_of(files[0], "blend={0: 0.5, 1: 0.5}")

    network = load_imported_network(files[0], None, settings.blend)

    assert network.speakers == ["row 0", "row 1", "row 0+row 1"]
    table = network.model.state_dict()["emb_g.weight"]
    torch.testing.assert_close(table[2], table[:2].mean(dim=0))


def test_entries_of_codebooks_are_shared_out() -> None:
    one, other = torch.zeros(8, 3), torch.ones(4, 3)

    assert mixed_entries([one, other], [0.75, 0.25])[:, 0].tolist() == [0.0] * 6 + [1.0] * 2
    assert torch.equal(mixed_entries([one, other], [1.0, 0.0]), one)


def test_mean_state_leaves_whole_numbers_and_single_networks_alone() -> None:
    states = [{"w": torch.rand(3).half(), "n": torch.tensor(7)}, {"w": torch.rand(3).half(), "n": torch.tensor(9)}]

    assert mean_state(states, [0.0, 1.0])["w"] is states[1]["w"]
    assert int(mean_state(states, [0.4, 0.6])["n"]) == 9
    assert mean_pitch([100.0, 400.0], [0.5, 0.5]) == pytest.approx(200.0)
    assert mean_pitch([100.0, None], [0.5, 0.5]) is None
    assert mean_pitch([100.0, None], [1.0, 0.0]) == 100.0


def test_a_graph_of_a_blend_says_so_without_places_and_claims_no_figures(runs: tuple[Path, Path]) -> None:
    plan = plan_export(export_job([f"blend={{{runs[0]}: 0.25, {runs[1]}: 0.75}}", "checkpoint=last"]))
    assert plan.blend is not None and plan.run == runs[1]
    made = blended(runs, 0.25, 0.75)

    geometry = geometry_at(plan.name, made.io_rate, model_rate=made.model.sample_rate, model_n_fft=640)
    metadata = describe(plan, made, geometry, graph_kind="audio_to_audio", index_sha256=None)

    assert (metadata.name, metadata.extra["blend"]) == ("first_second", {"first": 0.25, "second": 0.75})
    assert (metadata.metrics, metadata.dataset_fingerprint) == ({}, "unknown")
