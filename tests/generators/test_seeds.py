import itertools

from generators.seeds import derive_seed


def test_a_derived_seed_is_the_same_on_every_machine():
    # The first 8 bytes that sha256sum prints for "0", "piece", "0" joined by the unit separator, halved.
    assert derive_seed(0, "piece", 0) == 0xD8E0A03B06B7EDEC >> 1


def test_no_two_parts_run_into_each_other():
    parts = [(1, "piece", 23), (12, "piece", 3), (1, "piece", 2, 3), (1, "piece2", 3), (1, "piece", -23)]
    assert all(derive_seed(*one) != derive_seed(*other) for one, other in itertools.combinations(parts, 2))
