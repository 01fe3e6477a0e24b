import pytest
import torch

from generators.key_values import KeyValueCache

N_PLACES, WIDTH = 23, 4  # the last of six tiles is not filled to its end


def filled(dtype=torch.float32):
    """A cache, and the keys and values it was filled with, (2 pieces, 3 heads, places, width)."""
    rng = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 2, 3, N_PLACES, WIDTH, generator=rng, dtype=torch.float64).to(dtype)
    cache = KeyValueCache(2, 3, N_PLACES, WIDTH, like=keys)
    cache.write(0, keys, values)
    return cache, keys, values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("first", "stop"), [(0, 23), (0, 1), (0, 8), (3, 4), (5, 7), (7, 22), (8, 16)])
def test_a_query_sees_the_places_asked_for_and_no_other(first, stop, dtype):
    cache, keys, values = filled(dtype)
    rng = torch.Generator().manual_seed(1)
    queries = torch.randn(2, 3, WIDTH, generator=rng, dtype=torch.float64).to(dtype)
    bias = torch.randn(2, 3, stop - first, generator=rng, dtype=torch.float64).to(dtype)
    expected = torch.zeros(2, 3, WIDTH, dtype=dtype)
    for piece in range(2):
        for head in range(3):
            scores = [queries[piece, head] @ keys[piece, head, place] for place in range(first, stop)]
            shares = (torch.stack(scores) + bias[piece, head]).softmax(0)
            expected[piece, head] = shares @ values[piece, head, first:stop]
    mixed = cache.attend(queries, first, stop, bias.flatten(0, 1))
    assert torch.allclose(mixed, expected.flatten(1), atol=1e-5)


def test_a_bias_may_be_the_same_for_all_heads_or_missing():
    cache, _, _ = filled()
    queries = torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(1))
    plain = cache.attend(queries, 2, 9)
    assert torch.allclose(cache.attend(queries, 2, 9, torch.full((7,), 3.0)), plain, atol=1e-5)
    beyond = torch.zeros(7).index_fill_(0, torch.tensor([5, 6]), -torch.inf)
    assert torch.allclose(cache.attend(queries, 2, 9, beyond), cache.attend(queries, 2, 7), atol=1e-5)
    assert not torch.allclose(cache.attend(queries, 2, 7), plain, atol=1e-2)


def test_places_are_written_together_or_one_by_one():
    cache, keys, values = filled()
    together = KeyValueCache(2, 3, N_PLACES, WIDTH, like=keys)
    together.write(0, keys[:, :, :5], values[:, :, :5])
    together.write(5, keys[:, :, 5:], values[:, :, 5:])
    single = KeyValueCache(2, 3, N_PLACES, WIDTH, like=keys)
    for place in range(N_PLACES):
        number = place if place % 2 else torch.tensor([place])  # as a graph needs it
        single.write_at(number, keys[:, :, place], values[:, :, place])
    for other in (together, single):
        assert torch.equal(other.keys, cache.keys)
        assert torch.equal(other.values, cache.values)


@pytest.mark.parametrize(("first", "stop"), [(0, 23), (3, 4), (7, 22), (8, 16)])
def test_what_is_read_is_what_was_written(first, stop):
    cache, keys, values = filled()
    read = cache.read(first, stop)
    assert torch.equal(read[0], keys[:, :, first:stop])
    assert torch.equal(read[1], values[:, :, first:stop])


def test_a_cache_keeps_the_last_places_in_their_order():
    cache, keys, values = filled()
    cache.keep_last(19, 13)  # the moved places overlap
    read = cache.read(0, 13)
    assert torch.equal(read[0], keys[:, :, 6:19])
    assert torch.equal(read[1], values[:, :, 6:19])
