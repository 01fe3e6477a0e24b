import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from generators import checkpoint
from generators.families.melody_lstm import FAMILY, PRESETS, Config, MelodyLSTM, MelodyStrings
from generators.family import Request
from generators.generation import generate, piece_rng
from generators.graves import PADDING
from music.melody_strings import ALPHABETS, events_to_text, mean_unit, notes_to_events
from music.score import Meter, Note, Score, Tempo, Track

LEARNED = {"filters": True, "ticks_per_unit": 30.0, "start_pitch": 60, "lowest": 48, "highest": 84}
SCALE = (60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65)


def model_of(learned=LEARNED, **settings):
    torch.manual_seed(0)
    settings = {"d_hidden": 8, "n_layers": 1, **settings}
    return MelodyLSTM(Config(**settings), learned).eval()


def tune(*pitches, length=240, **options):
    notes = tuple(Note(place * length, pitch, length) for place, pitch in enumerate(pitches))
    return Score((Track(notes),), **options)


def saying(model, *characters):
    """Make a model go through different characters in a circle, the first after any other."""
    net = model.net
    numbers = [model.symbols.index(character) for character in characters]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        layer = net.layers[0]
        width = layer.n_hidden
        layer.bias[:width] = 20  # the input gate is open, the others of the layer forget and show
        layer.bias[width : 2 * width] = -20
        layer.bias[2 * width : 3 * width] = 20
        for place, number in enumerate(numbers):
            layer.weight_input[number, 3 * width + place] = 20
            net.readout.weight[numbers[(place + 1) % len(numbers)], place] = 60
        net.readout.bias[numbers[0]] = 5  # after all other characters
    return model


def write(model, bars, rngs=2, meter=(4, 4), **options):
    request = Request(bars, Tempo(0), Meter(0, *meter), **options)
    return model.generate([piece_rng(0, index) for index in range(rngs)], request)


# the net


def test_the_net_has_the_parameters_of_the_article_and_of_the_later_versions():
    counts = {}
    for name in ("paper", "v2", "v3"):
        with torch.device("meta"):
            model = MelodyLSTM(PRESETS[name], LEARNED)
        counts[name] = sum(parameter.numel() for parameter in model.parameters())
    assert counts == {"paper": 541_859, "v2": 540_659, "v3": 860_458}


def test_every_character_is_as_good_as_the_other_before_training():
    """The author prints 2435.5 for 600 characters of the third version, summed over time: 600 ln 58."""
    torch.manual_seed(0)
    model = MelodyLSTM(PRESETS["v3"], LEARNED)
    batch = torch.randint(58, (4, 601), dtype=torch.uint8)
    ((_, loss),) = model.losses(batch, "characters")
    assert loss.item() == pytest.approx(600 * math.log(58), rel=0.01)


def test_the_plans_are_those_of_the_three_generations():
    (first,), (third,) = (MelodyLSTM(PRESETS[name], LEARNED).stages() for name in ("paper", "v3"))
    rule = first.optimizers["model"]
    assert (rule.kind, rule.learning_rate, rule.options) == ("rmsprop", 0.1, {"alpha": 0.95})
    assert (first.epochs, first.batch_size) == (10, 32)
    assert (PRESETS["paper"].l2, PRESETS["paper"].truncation, PRESETS["paper"].n_characters) == (
        1e-3,
        50,
        500,
    )
    rule = third.optimizers["model"]
    assert (rule.kind, rule.learning_rate, PRESETS["v3"].l2) == ("adam", 5e-3, 1e-4)
    assert PRESETS["v3"].truncation is None
    batch = torch.zeros(2, 501, dtype=torch.uint8)
    assert len(list(MelodyLSTM(replace(Config(), d_hidden=4), LEARNED).losses(batch, "characters"))) == 10


# strings


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_a_piece_is_its_melodies_one_after_the_other(name):
    high, low = tune(*SCALE).tracks[0], tune(*(pitch - 20 for pitch in SCALE)).tracks[0]
    strings = MelodyStrings(Config(alphabet=name))
    numbers = strings.encode(Score((high, low)), strings.learn([Score((high, low))]))
    text = events_to_text(notes_to_events(high.notes, ALPHABETS[name]), ALPHABETS[name])
    assert "".join(ALPHABETS[name].symbols[number] for number in numbers) == text * 2
    marked = MelodyStrings(Config(alphabet=name, delimiter=True)).encode(
        Score((high, low)), {"filters": True}
    )
    assert marked.tolist() == [len(ALPHABETS[name].symbols), *numbers[: len(text)].tolist()] * 2


def test_windows_lie_side_by_side_and_share_the_character_that_both_need():
    for zeroed, length in ((False, 11), (True, 10)):
        strings = MelodyStrings(Config(n_characters=10, zeroed_last_step=zeroed))
        assert strings.length == length
        for count, starts in ((0, []), (1, []), (2, [0]), (11, [0]), (12, [0, 10]), (25, [0, 10, 20])):
            assert strings.starts(np.zeros(count)) == starts


def test_what_is_learned_is_the_unit_and_where_melodies_lie():
    strings = MelodyStrings(Config())
    score = tune(*SCALE, length=50, ticks_per_beat=100)
    assert strings.learn([score, tune(60, 62)]) == {
        "filters": True,
        "ticks_per_unit": 30.0,  # half a beat of 480 is 240, an eighth of it 30
        "start_pitch": 60,
        "lowest": 60,
        "highest": 72,
    }


def test_a_corpus_that_the_filters_refuse_is_learned_without_them():
    strings = MelodyStrings(Config())
    learned = strings.learn([tune(60, 62)])
    assert learned["filters"] is False
    assert len(strings.encode(tune(60, 62), learned)) == 3
    assert len(strings.encode(tune(60, 62), {"filters": True})) == 0


def test_defects_of_the_published_language_can_be_had():
    wide = tune(*SCALE, 85)
    said = {}
    for fold in (12, 13):
        config = Config(alphabet="v2", fold=fold, double_z=True)
        said[fold] = MelodyStrings(config).encode(wide, {"filters": False})[-2]
    symbols = ALPHABETS["v2"].symbols
    assert (symbols[said[12]], symbols[said[13]]) == ("8", "7")  # 20 semitones up
    assert len(MelodyLSTM(Config(double_z=True, d_hidden=2), LEARNED).symbols) == 59


# writing


def test_durations_last_as_in_the_corpus_on_a_grid_of_sixteenths():
    (piece, _) = write(saying(model_of(), "2", "l", "@", "h"), 2)
    notes = list(piece.notes())
    assert {note.duration for note in notes[1:-1]} == {240, 120}  # 8 and 4 units of 30 ticks
    (piece, _) = write(saying(model_of(steps_per_beat=0), "2", "k", "@", "h"), 2)
    assert {note.duration for note in list(piece.notes())[1:-1]} == {210, 120}
    fine = model_of({**LEARNED, "ticks_per_unit": 7.5})
    (piece, _) = write(saying(fine, "2", "l", "@", "l"), 2)
    assert {note.duration for note in list(piece.notes())[1:-1]} == {60}


def test_intervals_add_up_from_the_start_of_the_corpus_and_keep_to_its_range():
    (piece, _) = write(saying(model_of(), "5", "l"), 8)
    pitches = [note.pitch for note in piece.notes()]
    assert all(48 <= pitch <= 84 for pitch in pitches)
    assert {(then - now) % 12 for now, then in pairwise(pitches)} == {5}
    assert {then - now for now, then in pairwise(pitches)} == {5, -7}
    low = model_of(start_pitch=45, lowest=30, highest=79)
    (piece, _) = write(saying(low, "0", "l"), 1)
    assert {note.pitch for note in list(piece.notes())[1:]} <= {45, *range(33, 58)}


@pytest.mark.parametrize("grammar", ["free", "strict"])
@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (7, 16)])
def test_a_piece_of_rests_alone_gets_notes_and_none_ends_in_silence(grammar, meter):
    for characters in (("R", "l"), ("R", "M", "2", "d"), ("l", "l"), ("2", "2")):
        for bars in (1, 5):
            for piece in write(saying(model_of(grammar=grammar), *characters), bars, meter=meter):
                assert piece.end == Request(bars, Tempo(0), Meter(0, *meter)).end(480)
                assert min(note.onset for note in piece.notes()) == 0
                notes = list(piece.notes())
                assert all(now.end <= then.onset for now, then in pairwise(notes))


def test_a_strict_grammar_draws_nothing_that_is_passed_over():
    model = model_of(grammar="strict")
    allowed = model._allowed(torch.zeros(1, dtype=torch.bool))[0]
    text = "d5eRf!g"
    numbers = [model.symbols.index(character) for character in text]
    assert all(allowed[now, then] for now, then in pairwise(numbers))
    assert not allowed[model.symbols.index("d"), model.symbols.index("e")]
    assert not allowed[model.symbols.index("5"), model.symbols.index("R")]


def test_rests_are_silent():
    (piece, _) = write(saying(model_of(), "2", "l", "R", "m", "@", "k"), 4)
    notes = list(piece.notes())
    assert {then.onset - now.end for now, then in pairwise(notes[1:])} in ({0, 240}, {0, 360})


def test_a_prime_is_heard_as_a_string_and_continued_from_its_last_pitch():
    model = model_of()
    seen = []
    forward = model.net.forward
    model.net.forward = lambda symbols, states=None: seen.append(symbols) or forward(symbols, states)
    prime = tune(70, 72, 74, 67, length=480)
    write(model, 1, prime=prime)
    text = "".join(model.symbols[number] for number in seen[0][0])
    assert text == "l2l2l&l"
    (piece, _) = write(saying(model_of(), "1", "l"), 2, prime=prime)
    first, second, *_ = piece.notes()
    assert (first.pitch, second.pitch) == (68, 69)
    assert first.duration == 480  # of the prime's own average note


def test_the_unit_of_a_prime_counts_in_its_own_beats():
    prime = tune(60, 62, 64, length=7, ticks_per_beat=7)
    assert mean_unit(prime.tracks[0].notes) * 8 == 7
    (piece, _) = write(saying(model_of(), "1", "l"), 2, prime=prime)
    assert {note.duration for note in piece.notes()} == {480}


def test_delimiters_start_a_piece_and_a_melody_within_it():
    model = model_of(delimiter=True)
    assert len(model.symbols) == 60
    (piece, _) = write(saying(model, "\n", "l", "5", "k"), 1)
    pitches = [note.pitch for note in piece.notes()]
    assert pitches == [60, 65, 65, 70, 70, 75, 75, 80]


def test_the_first_character_is_any_of_the_alphabet():
    model = model_of()
    seen = []
    forward = model.net.forward
    model.net.forward = lambda symbols, states=None: seen.append(symbols) or forward(symbols, states)
    write(model, 1, rngs=300)
    assert len(set(seen[0][:, 0].tolist())) == 59


def test_a_trained_model_writes_melodies_of_the_corpus_it_knows(trained):
    model = checkpoint.load(trained("melody_lstm")).model
    for piece in generate(trained("melody_lstm"), count=4, bars=8):
        notes = list(piece.notes())
        assert all(now.end <= then.onset for now, then in pairwise(notes))
        low, high = model._range()
        assert all(low <= note.pitch <= high for note in notes)
        assert piece.n_bars == 8


def test_padding_is_no_character():
    assert max(len(alphabet.symbols) for alphabet in ALPHABETS.values()) + 1 <= PADDING
    assert FAMILY.presets["paper"] == Config()


def test_the_most_frequent_duration_of_a_piece_is_a_plain_note_value():
    model = model_of()
    assert model._fitted(30, "l5l5l5h") == 30  # 8 units of 30 are half a beat
    assert model._fitted(45, "l5l5l5h") == 60  # three quarters of a beat are nearer to a whole one
    assert model._fitted(30, "m5m5m5R") * 9 == 240
    assert model._fitted(30, "5d5d") == 30
    assert model_of(steps_per_beat=0)._fitted(45, "l5l") == 45
