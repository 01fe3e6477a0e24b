import pytest
import torch
from torch import nn

from generators.products import Product, large_copy, weighted_sums


def numbers(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 300), (5, 3, 8), (40, 64, 64)])
def test_weighted_sums_add_up_the_rows_of_each_table_by_itself(shape, dtype):
    tables, weights = numbers(*shape, dtype=dtype), numbers(*shape[:2], dtype=dtype)
    expected = sum(weights[:, row, None] * tables[:, row] for row in range(shape[1]))
    assert weighted_sums(weights, tables).dtype == dtype
    assert torch.allclose(weighted_sums(weights, tables), expected, atol=1e-5)


def test_tables_may_be_a_part_of_a_larger_memory_and_weights_may_lie_apart():
    tables, weights = numbers(9, 4, 5)[3:7], numbers(4, 4).t()
    expected = torch.einsum("nk,nkw->nw", weights, tables)
    assert torch.allclose(weighted_sums(weights, tables), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("n_rows", [1, 2, 16])
def test_a_product_is_that_of_a_linear_layer(n_rows, has_bias, dtype):
    layer = nn.Linear(48, 33, bias=has_bias, dtype=dtype)
    rows = numbers(n_rows, 48, dtype=dtype)
    assert torch.allclose(Product(layer.weight, n_rows)(rows, layer.bias), layer(rows), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("n_rows", [1, 16])
def test_a_product_without_onednn_is_the_same(n_rows, monkeypatch):
    weight, rows = numbers(33, 48), numbers(n_rows, 48)
    expected = Product(weight, n_rows)(rows)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert torch.allclose(Product(weight, n_rows)(rows), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("n_rows", [1, 16])
def test_a_product_keeps_the_weights_it_was_made_from(n_rows):
    weight, rows = numbers(33, 48), numbers(n_rows, 48)
    product = Product(weight, n_rows)
    before = product(rows)
    weight.zero_()
    assert torch.equal(product(rows), before)
    assert before.any()


@torch.no_grad()
@pytest.mark.parametrize("n_rows", [1, 16])
def test_the_rows_and_the_bias_stay_as_they_are(n_rows):
    weight, rows, bias = numbers(33, 48), numbers(n_rows, 48), numbers(33)
    kept = rows.clone(), bias.clone()
    Product(weight, n_rows)(rows, bias)
    assert torch.equal(rows, kept[0])
    assert torch.equal(bias, kept[1])


def test_a_large_copy_is_contiguous_and_apart():
    tensor = numbers(3, 4)
    copied = large_copy(tensor.t())
    assert copied.is_contiguous()
    assert torch.equal(copied, tensor.t())
    tensor.zero_()
    assert copied.all()
