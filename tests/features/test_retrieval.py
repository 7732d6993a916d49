"""Retrieval in the model: neighbours by cosine, per speaker; the codebook is a function of content, size and seed."""

import math

import pytest
import torch
from torch.testing import assert_close

from benchmarks.retrieval import IndexRetrieval
from models.conversion import blended_content
from models.layers.controls import Controls
from utils.features.content.base import normalize_content
from utils.features.index import IndexOptions, build_index
from utils.features.retrieval import CodebookRetrieval, build_codebook, entries_per_speaker


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize_content(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)))


def slow_blend(entries: torch.Tensor, query: torch.Tensor, neighbours: int) -> torch.Tensor:
    """Mean of the nearest entries of one query, weighted by the distance to the power of -4, in loops."""
    distances = [float((query.double() - entry.double()).norm()) for entry in entries]
    nearest = sorted(range(len(entries)), key=lambda index: distances[index])[:neighbours]
    weights = [distances[index] ** -4 for index in nearest]
    total = torch.zeros_like(query)
    for index, weight in zip(nearest, weights, strict=True):
        total += weight / sum(weights) * entries[index]
    return total * math.sqrt(len(query)) / total.norm()


def test_member_of_the_codebook_is_returned_when_one_neighbour_is_asked() -> None:
    codebook = vectors(1, 50, 16)

    found = CodebookRetrieval(codebook, neighbours=1)(codebook[:, 7:9], torch.tensor([0]))

    assert_close(found, codebook[:, 7:9], atol=1e-5, rtol=0)


def test_member_far_from_all_others_is_returned() -> None:
    codebook = math.sqrt(8) * torch.eye(8)[None]

    found = CodebookRetrieval(codebook)(codebook[:, 3:4], torch.tensor([0]))

    # the others have cosine 0 and 1e-10 of the weight
    assert_close(found, codebook[:, 3:4], atol=1e-5, rtol=0)


def test_blend_equals_a_loop_over_the_entries() -> None:
    codebook, content = vectors(2, 30, 8), vectors(2, 5, 8, seed=1)

    found = CodebookRetrieval(codebook)(content, torch.tensor([1, 0]))

    for item, speaker in enumerate((1, 0)):
        for frame in range(5):
            expected = slow_blend(codebook[speaker], content[item, frame], 8)
            assert_close(found[item, frame], expected, atol=1e-4, rtol=0)


def test_what_is_found_is_as_long_as_what_was_asked_for() -> None:
    retrieval, content = CodebookRetrieval(vectors(1, 30, 8)), vectors(1, 5, 8, seed=1)
    lengths = torch.tensor([0.1, 1.0, 3.0, 20.0, 0.5]).view(1, 5, 1)

    found = retrieval(lengths * content, torch.tensor([0]))

    assert_close(found, lengths * retrieval(content, torch.tensor([0])), rtol=1e-4, atol=1e-5)
    assert_close(found.norm(dim=-1, keepdim=True), math.sqrt(8) * lengths, rtol=1e-3, atol=0)


def test_a_share_of_retrieval_means_the_same_at_any_length() -> None:
    content = vectors(1, 5, 8, seed=1)
    retrieval = CodebookRetrieval(build_codebook(7 * vectors(30, 8), 64)[None])
    half, voiced = torch.tensor(0.5), torch.ones(1, 5)
    controls = Controls(half, torch.tensor(0), half, half, half)

    plain, long = (
        blended_content(asked, retrieval(asked, torch.tensor([0])) - asked, voiced, controls)
        for asked in (content, 7 * content)
    )

    assert not torch.allclose(plain, content, atol=0.1)
    assert_close(long, 7 * plain, rtol=1e-4, atol=1e-4)


def test_codebook_and_index_of_the_same_vectors_give_the_same_blend() -> None:
    entries, content = vectors(200, 16), vectors(40, 16, seed=1)
    content[:3] = entries[:3]  # exact matches: the distance is 0

    baked = CodebookRetrieval(entries[None])(content[None], torch.tensor([0]))[0]
    full = build_index([entries.numpy()], None, IndexOptions(kind="flat")).retrieve(content.numpy())

    # a flat index stores vectors .3 % of their length aside (.012), so of two equally far the other may be among the 8
    nearest = torch.cdist(content, entries).sort(dim=1).values
    is_clear = nearest[:, 8] > 1.005 * nearest[:, 7]
    assert is_clear.sum() > 30
    assert bool(torch.isfinite(baked).all())
    assert_close(baked[is_clear], normalize_content(torch.from_numpy(full).float())[is_clear], atol=0.025, rtol=0)


def test_codebook_smaller_than_the_neighbours_works() -> None:
    found = CodebookRetrieval(vectors(1, 2, 8))(vectors(1, 5, 8, seed=1), torch.tensor([0]))

    assert found.shape == (1, 5, 8)
    assert bool(torch.isfinite(found).all())


def test_fewer_vectors_than_the_size_are_returned_themselves() -> None:
    content = vectors(10, 8)

    found = build_codebook(5 * content, 64)

    assert_close(found, content, atol=1e-3, rtol=0)
    assert torch.equal(found, found.half().float())


def test_size_of_a_codebook_follows_the_number_of_speakers() -> None:
    assert [entries_per_speaker(None, count) for count in (1, 2, 50)] == [2048, 448, 448]
    assert entries_per_speaker(0, 1) == 0
    assert entries_per_speaker(4096, 9) == 4096


def test_clustering_is_deterministic_and_follows_the_seed() -> None:
    content = vectors(400, 8)

    first, second, other = (build_codebook(content, 16, seed=seed) for seed in (3, 3, 4))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_clustering_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)

    build_codebook(vectors(100, 4), 8)

    assert_close(torch.rand(2), expected)


def test_centres_have_the_length_root_of_dim() -> None:
    centres = build_codebook(vectors(400, 8), 16)

    assert centres.shape == (16, 8)
    assert torch.equal(centres, centres.half().float())
    assert_close(centres.norm(dim=1), torch.full((16,), math.sqrt(8)), atol=1e-3, rtol=0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_more_centres_than_directions_leave_no_zero_centre(seed: int) -> None:
    # three directions for eight centres: most clusters are empty and are refilled
    content = vectors(3, 4).repeat(100, 1)

    centres = build_codebook(content, 8, seed=seed)

    assert_close(centres.norm(dim=1), torch.full((8,), 2.0), atol=1e-3, rtol=0)


def test_clusters_far_apart_are_found() -> None:
    directions = 2 * torch.eye(4)
    noise = 0.05 * torch.randn(400, 4, generator=torch.Generator().manual_seed(0))

    centres = build_codebook(directions.repeat(100, 1) + noise, 12)

    nearest = (centres @ directions.T / 4).max(dim=0).values
    assert bool((nearest > 0.99).all())


def test_a_voice_can_ask_the_whole_index_as_it_asks_a_codebook() -> None:
    entries, content = vectors(200, 16), vectors(1, 5, 16, seed=1)
    retrieval = IndexRetrieval(build_index([entries.numpy()], None, IndexOptions(kind="flat")))

    found = retrieval(content, torch.tensor([0]), torch.tensor(0.5))

    assert found.shape == content.shape
    assert_close(found, retrieval(content, torch.tensor([0])))
