import math

import numpy as np
import pytest

from benchmarks import baselines


def test_a_coin_per_key_costs_its_number_of_bits():
    assert baselines.random_nats(88) == pytest.approx(60.997, abs=1e-3)


def test_keys_by_frequency_cost_what_their_shares_say():
    train = [np.array([[1, 0], [0, 0], [1, 0]])]
    test = [np.array([[0, 0], [1, 0], [0, 1]])]
    often, never = (2 + 0.5) / 4, 0.5 / 4
    frames = -math.log(often) - math.log(1 - never), -math.log(1 - often) - math.log(never)
    assert baselines.independent_nats(train, test) == pytest.approx(sum(frames) / 2)


def test_a_key_that_looks_back_knows_that_it_alternates():
    roll = np.tile([[0], [1]], (200, 1))
    assert baselines.independent_nats([roll], [roll]) == pytest.approx(math.log(2), rel=1e-3)
    assert baselines.markov_nats([roll], [roll]) < 0.01


def test_tokens_cost_their_entropy_alone_and_nothing_after_one_another():
    tokens = np.arange(4000) % 4
    alone, markov = baselines.token_nats([tokens], [tokens])
    assert alone == pytest.approx(math.log(4), rel=1e-3)
    assert markov == pytest.approx(-math.log(0.9 + 0.1 / 4), rel=0.03)


def test_padding_is_no_token():
    padded = np.array([0, 1, -1, -1])
    assert baselines.token_nats([padded], [padded]) == baselines.token_nats([padded[:2]], [padded[:2]])


def test_voices_are_predicted_each_by_itself():
    voices = np.stack(
        [np.arange(1000) % 2, np.zeros(1000), np.zeros(1000), np.full(1000, -1)], axis=1
    ).astype(int)
    alone, markov = baselines.voice_nats([voices], [voices])
    assert alone == pytest.approx(math.log(2) / 4, rel=0.02)
    assert markov < alone / 5


def test_wrong_cells_of_silence_are_those_that_sound():
    train = np.array([[[1, 0, 0]], [[1, 1, 0]], [[1, 0, 0]]])
    test = np.array([[[1, 1, 0]], [[0, 0, 0]]])
    assert baselines.wrong_cells(train, test) == {"all off": 1.0, "marginals": 1.0, "Markov": 1.0}
    assert baselines.wrong_cells(train, train)["all off"] == 4 / 3
    assert baselines.wrong_cells(train, train)["marginals"] == pytest.approx(1 / 3)


def test_a_key_that_holds_or_rests_is_foreseen_by_the_step_before():
    lasting = np.repeat([[[1, 0]], [[0, 1]]], 50, axis=1)  # two windows, in each another key all through
    found = baselines.wrong_cells(lasting, lasting)
    assert found["all off"] == 50
    assert found["Markov"] == pytest.approx(1)  # the key of the first step, which none precedes
    errors = baselines.squared_errors(lasting, lasting, level=2.0)
    assert errors["all off"] == 4 * 50
    assert errors["marginals"] == pytest.approx(4 * 2 * 50 / 4)  # each of two keys has one half
    assert errors["Markov"] == pytest.approx(4 * 2 / 4, rel=0.05)


def test_frames_of_states_cost_what_rolls_cost_where_nothing_is_struck():
    rolls = (np.random.default_rng(1).random((4, 30, 5)) < 0.3).astype(np.uint8)
    states = np.stack([rolls, np.zeros_like(rolls)], axis=-1)
    found = baselines.state_nats(states[:3], states[3:], padding=255)
    assert found["Markov"] == pytest.approx(baselines.markov_nats(rolls[:3], rolls[3:]), abs=0.1)
    striking = np.stack([rolls, rolls], axis=-1)
    assert baselines.state_nats(striking, striking, padding=255)["marginals"] < found["marginals"] + 0.5


def test_states_by_hand():
    """One note over five frames, with padding after them: on and struck, held, off, on and struck, off."""
    steps = np.array([[1, 1], [1, 0], [0, 0], [1, 1], [0, 0], [255, 255]], dtype=np.uint8)
    windows = steps[None, :, None, :]
    sounds, struck = (2 + 0.5) / (4 + 1), (1 + 0.5) / (2 + 1)
    nats = 2 * -math.log(sounds) + 2 * -math.log(1 - sounds) - math.log(struck) - math.log(1 - struck)
    found = baselines.state_nats(windows, windows, padding=255)
    assert found["marginals"] == found["all off"] == pytest.approx(nats / 4)
    on, held = (1 + 0.5) / (3 + 1), 0.5 / (1 + 1)  # after sounding: once of three times, and then held
    again, anew = (1 + 0.5) / (1 + 1), (1 + 0.5) / (1 + 1)
    after_on = -math.log(on) - math.log(1 - held) - 2 * math.log(1 - on)
    assert found["Markov"] == pytest.approx((after_on - math.log(again) - math.log(anew)) / 4)
