import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generators import checkpoint
from generators.decoding import choose
from generators.errors import GeneratorError
from generators.families.gru_next_note import (
    NOTE_NAMES,
    Config,
    GRUNextNote,
    NoteWords,
    normal_order,
    pitches_of,
    word_of,
    words_of,
)
from generators.family import Request
from generators.generation import generate, piece_rng
from generators.training import train
from music.score import Meter, Note, Score, Tempo, Track


def vocabulary(size):
    return {"words": [str(number % 12) for number in range(size)], "counts": [1] * size}


def model_of(size=7, **settings):
    torch.manual_seed(0)
    return GRUNextNote(Config(**settings), vocabulary(size)).eval()


# words


def test_notes_are_named_as_music21_names_them():
    from music21 import pitch

    assert [pitch.Pitch(midi=number).nameWithOctave for number in range(128)] == NOTE_NAMES


def test_normal_orders_are_those_of_music21():
    """All sets of up to three pitch classes, and every 61st larger one."""
    from music21 import chord

    sets = [set(each) for size in range(1, 12) for each in itertools.combinations(range(12), size)]
    small = [each for each in sets if len(each) <= 3]
    for classes in small + sets[len(small) :: 61]:
        expected = chord.Chord([60 + each for each in classes]).normalOrder
        assert list(normal_order({60 + each for each in classes})) == list(expected), classes


@given(st.sets(st.integers(0, 127), min_size=1, max_size=9), st.integers(-12, 12))
def test_a_normal_order_is_the_most_tightly_packed_rotation(pitches, octave):
    order = normal_order(pitches)
    assert sorted(order) == sorted({pitch % 12 for pitch in pitches})
    assert order == normal_order({pitch % 12 + 24 for pitch in pitches})
    width = (order[-1] - order[0]) % 12
    classes = sorted(order)
    gaps = [
        (after - before) % 12 or 12 for before, after in zip(classes, [*classes[1:], classes[0]], strict=True)
    ]
    assert width == 12 - max(gaps)  # the widest gap is left out


def test_chords_lose_octave_and_inversion():
    assert word_of({60, 64, 67}) == word_of({64, 67, 72}) == word_of({48, 67, 76}) == "0.4.7"
    assert word_of({57, 60, 64}) == "9.0.4"
    assert word_of({60, 72}) == "0"
    assert word_of({60}) == "C4"


def test_chords_sound_in_the_octave_of_middle_c_and_notes_where_they_are():
    assert pitches_of("9.0.4") == [69, 60, 64]
    assert pitches_of("B-3") == [58]
    assert pitches_of("0") == [60]
    ambiguous = {4: 27, 11: 34}  # E-1 and B-1: a natural in octave -1 or a flat in octave 1
    expected = [[ambiguous.get(number, number)] for number in range(128)]
    assert [pitches_of(name) for name in NOTE_NAMES] == expected


def test_words_follow_onsets_over_all_tracks_but_drums():
    right = Track((Note(0, 76, 480), Note(480, 74, 240)))
    left = Track((Note(0, 60, 960), Note(960, 55, 10)))
    drums = Track((Note(240, 38, 10),), is_drum=True)
    assert words_of(Score((right, left, drums))) == ["0.4", "D5", "G3"]


def test_a_chord_that_is_not_quite_together_is_one():
    score = Score((Track((Note(478, 60, 100), Note(480, 64, 100), Note(490, 67, 100), Note(640, 72, 9))),))
    assert words_of(score) == ["0.4.7", "C5"]


@given(st.lists(st.integers(0, 5000), min_size=1), st.sampled_from([24, 96, 480, 1024]))
def test_onsets_move_to_the_nearest_quarter_or_third_of_a_beat(ticks, ticks_per_beat):
    score = Score((Track(tuple(Note(tick, 60, 1) for tick in set(ticks))),), ticks_per_beat)
    nearest = set()
    for tick in ticks:
        time = Fraction(tick, ticks_per_beat)
        beat = int(time)
        places = [beat + Fraction(index, 4) for index in range(5)] + [
            beat + Fraction(index, 3) for index in range(4)
        ]
        nearest.add(min(sorted(places), key=lambda place: abs(place - time)))
    assert len(words_of(score)) == len(nearest)


def test_windows_lie_side_by_side_and_the_last_may_be_short():
    words = NoteWords(Config(n_tokens=64))
    for count, starts in ((0, []), (1, []), (2, [0]), (64, [0]), (65, [0]), (66, [0, 64]), (129, [0, 64])):
        assert words.starts(np.zeros(count)) == starts


def test_the_vocabulary_is_alphabetical_and_unknown_words_are_the_first():
    score = Score((Track((Note(0, 62, 9), Note(480, 60, 9), Note(960, 62, 9))),))
    words = NoteWords(Config())
    learned = words.learn([score])
    assert learned == {"words": ["C4", "D4"], "counts": [1, 2]}
    other = Score((Track((Note(0, 99, 9), Note(480, 62, 9))),))
    encoded = words.encode(other, learned)
    assert encoded.dtype == np.int16
    assert encoded.tolist() == [0, 1]


# the net


@pytest.mark.parametrize("size", [1, 333, 1000, 4223])
def test_the_net_has_the_parameters_of_the_report(size):
    with torch.device("meta"):
        model = GRUNextNote(Config(), vocabulary(size))
    assert sum(parameter.numel() for parameter in model.parameters()) == 288 * size + size + 111_744


def test_the_next_word_is_read_from_the_states_of_all_layers():
    """As in the original: word by word, h of every layer after the word, side by side, through one matrix."""
    model = model_of(d_embedding=5, d_hidden=6, n_layers=3)
    words = torch.tensor([[1, 4, 2, 0]])
    states = [torch.zeros(1, 6) for _ in range(3)]
    expected = []
    for word in words[0]:
        below = model.embedding(word)[None]
        for index, layer in enumerate(model.layers):
            cell = torch.nn.GRUCell(below.shape[1], 6)
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            cell.load_state_dict({name: getattr(layer, name + "_l0") for name in names})
            states[index] = below = cell(below, states[index])
        expected.append(model.readout(torch.cat(states, dim=1)))
    logits, last = model(words)
    assert torch.allclose(logits[0], torch.cat(expected), atol=1e-6)
    assert all(torch.allclose(state[0], own, atol=1e-6) for state, own in zip(last, states, strict=True))


def test_reading_the_top_layer_alone_is_an_option():
    model = model_of(d_hidden=6, n_layers=2, readout="top")
    assert model.readout.in_features == 6
    assert model(torch.tensor([[1, 2]]))[0].shape == (1, 2, 7)


@torch.no_grad()
def test_the_loss_is_summed_over_words_and_averaged_over_windows():
    model = model_of()
    batch = torch.tensor([[1, 2, 3, 4], [5, 6, -1, -1]], dtype=torch.int16)
    ((part, loss),) = model.losses(batch, "words")
    total = 0.0
    for window in ([1, 2, 3, 4], [5, 6]):
        logits, _ = model(torch.tensor([window[:-1]]))
        total -= sum(
            torch.log_softmax(logits[0], 1)[index, word].item() for index, word in enumerate(window[1:])
        )
    assert part == "model"
    assert loss.item() == pytest.approx(total / 2, rel=1e-5)
    figures = model.figures(batch)
    assert float(figures["loss"][0]) == pytest.approx(total, rel=1e-5)
    assert int(figures["loss"][1]) == int(figures["accuracy"][1]) == 4


def test_the_plan_is_that_of_the_code():
    (stage,) = model_of().stages()
    rule = stage.optimizers["model"]
    assert (rule.kind, rule.learning_rate, rule.decay, rule.max_grad_norm) == ("adam", 2e-3, 0.99, 1.0)
    assert (stage.epochs, stage.batch_size) == (40, 1)


# writing


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=6).filter(lambda weights: sum(weights) > 1e-3),
    st.floats(0, 1, exclude_max=True),
)
def test_words_are_chosen_in_proportion_to_their_weights(weights, draw):
    """The choice is the first word at which the running sum passes the draw's share of the whole."""
    chosen = choose(
        torch.tensor([weights], dtype=torch.float64), torch.tensor([[draw]], dtype=torch.float64)
    ).item()
    edges = np.cumsum(weights)
    place = draw * edges[-1]
    assert edges[chosen] > place or chosen == len(weights) - 1
    assert chosen == 0 or edges[chosen - 1] <= place


def constant(model, logits):
    """Make a model say the same logits whatever came before."""
    with torch.no_grad():
        model.readout.weight.zero_()
        model.readout.bias.copy_(torch.tensor(logits))
    return model


def write(model, n_bars, rngs=1, **options):
    request = Request(n_bars, Tempo(0), Meter(0), **options)
    return model.generate([piece_rng(0, index) for index in range(rngs)], request)


def test_every_event_lasts_half_a_quarter():
    (piece,) = write(constant(model_of(3), [0.0, 9e9, 0.0]), 2)
    assert [(note.onset, note.duration, note.pitch) for note in piece.notes()] == [
        (index * 240, 240, 61) for index in range(16)
    ]


def test_temperature_sharpens_the_choice():
    model = constant(model_of(3), [0.0, 1.0, 2.0])
    for temperature in (0.5, 1.0, 2.0):
        pieces = write(model, 50, rngs=8, temperature=temperature)
        pitches = torch.tensor([note.pitch - 60 for piece in pieces for note in piece.notes()])
        shares = torch.bincount(pitches, minlength=3) / len(pitches)
        expected = torch.softmax(torch.tensor([0.0, 1.0, 2.0]) / temperature, 0)
        assert torch.allclose(shares, expected, atol=0.03)


def test_the_likeliest_word_can_always_be_taken():
    pieces = write(constant(model_of(3), [0.0, 0.1, 0.0]), 4, rngs=3, argmax=True)
    assert {note.pitch for piece in pieces for note in piece.notes()} == {61}


def test_writing_word_by_word_is_the_net_on_the_whole(trained):
    """The likeliest words, found again by running the net on everything from the start for each word."""
    model = checkpoint.load(trained("gru_next_note")).model
    prime = Score((Track(tuple(Note(index * 240, 72 + index, 240) for index in range(6))),))
    (piece,) = write(model, 2, argmax=True, prime=prime)
    words = [model.words.index(word) for word in words_of(prime) if word in model.words]
    assert words
    expected = []
    with torch.no_grad():
        for _ in range(16):
            words.append(model(torch.tensor([words]))[0][0, -1].argmax().item())
            expected.append(sorted(pitches_of(model.words[words[-1]])))
    by_onset = {}
    for note in piece.notes():
        by_onset.setdefault(note.onset, []).append(note.pitch)
    assert [sorted(by_onset[index * 240]) for index in range(16)] == expected


def test_a_prime_is_continued_and_not_repeated(trained):
    def prime(*pitches):
        return Score((Track(tuple(Note(index * 240, pitch, 240) for index, pitch in enumerate(pitches))),))

    one = generate(trained("gru_next_note"), count=4, bars=2, prime=prime(72, 74, 76))
    other = generate(trained("gru_next_note"), count=4, bars=2, prime=prime(83, 48, 83))
    assert one != other
    assert {piece.n_bars for piece in one} == {2}


def prime_of(*pitches):
    return Score((Track(tuple(Note(index * 240, pitch, 240) for index, pitch in enumerate(pitches))),))


def test_a_prime_of_any_length_is_taken(trained):
    strange = Score((Track(tuple(Note(index * 100, index % 128, 50) for index in range(900))),))
    assert generate(trained("gru_next_note"), count=1, bars=1, prime=strange)[0].n_notes


def test_words_that_training_has_not_seen_are_left_out_of_a_prime():
    model = model_of(3)
    model.words = ["C4", "D4", "E4"]
    seen = []
    forward = model.forward
    model.forward = lambda words, states=None: seen.append(words.tolist()) or forward(words, states)
    write(model, 1, prime=prime_of(99, 62, 100, 64, 101, 60))
    assert seen[0] == [[1, 2, 0]]


def test_a_prime_long_in_unknown_words_still_gives_the_words_before_them():
    model = model_of(3, n_tokens=2)
    model.words = ["C4", "D4", "E4"]
    assert model._heard(prime_of(60, 62, 64, *range(90, 120))).tolist() == [1, 2]


@pytest.mark.parametrize("prime", [prime_of(99, 100), prime_of()])
def test_a_prime_without_a_known_word_is_refused(prime):
    model = model_of(3)
    model.words = ["C4", "D4", "E4"]
    with pytest.raises(GeneratorError, match="the prime has no note or chord of the pieces"):
        write(model, 1, prime=prime)


def test_without_a_prime_pieces_start_where_words_are_common():
    model = model_of(3)
    model.counts = [0, 10**6, 1]
    seen = []
    forward = model.forward
    model.forward = lambda words, states=None: seen.append(words) or forward(words, states)
    write(model, 1, rngs=40)
    assert seen[0].shape == (40, 5)
    assert seen[0].float().mean().item() == pytest.approx(1.0, abs=0.01)


def test_a_last_event_is_cut_where_the_bars_end():
    request = Request(1, Tempo(0), Meter(0, 5, 16))
    (piece,) = constant(model_of(3), [9e9, 0.0, 0.0]).generate([piece_rng(0, 0)], request)
    assert [(note.onset, note.duration) for note in piece.notes()] == [(0, 240), (240, 240), (480, 120)]
    assert piece.end == request.end(480) == math.floor(1.25 * 480)


def test_the_other_rule_of_the_trials_is_an_option(corpus, small, tmp_path):
    (stage,) = model_of(optimizer="sgd").stages()
    assert stage.optimizers["model"].kind == "sgd"
    result = train(
        "gru_next_note", corpus, tmp_path, overrides={**small["gru_next_note"], "optimizer": "sgd"}
    )
    assert result.stopped == "finished"


def test_the_smallest_temperature_is_the_likeliest_word():
    model = constant(model_of(3), [0.0, 0.1, 0.0])
    pieces = write(model, 4, rngs=3, temperature=1e-320)
    assert {note.pitch for piece in pieces for note in piece.notes()} == {61}
