from itertools import pairwise

import numpy as np
import pytest
import torch

from generators import checkpoint
from generators.families.two_part_lstm import PRESETS, Config, TwoPartLSTM, TwoPartStrings, _Parts
from generators.family import Request
from generators.generation import generate, harmonize, piece_rng
from generators.graves import PADDING
from music.melody_strings.two_parts import SYMBOLS, beat_time, symbol_of, voice_to_symbols
from music.score import Meter, Note, Score, Tempo, Track


def model_of(**settings):
    torch.manual_seed(0)
    return TwoPartLSTM(Config(**{"d_hidden": 12, "n_layers": 2, **settings}), {"filters": True}).eval()


def saying(model, logits):
    """A model that says the same logits whatever came before."""
    with torch.no_grad():
        model.net.readout.weight.zero_()
        model.net.readout.bias.copy_(logits)
    return model


def only(*pitches, rest=None):
    logits = torch.full((50,), -1e4)
    for pitch in pitches:
        logits[symbol_of(pitch)] = 0.0
    if rest is not None:
        logits[0] = rest
    return logits


def line(*pitches, length=240, start=0):
    return tuple(Note(start + place * length, pitch, length) for place, pitch in enumerate(pitches))


def write(model, bars, rngs=2, meter=(4, 4), tempo=500_000, **options):
    request = Request(bars, Tempo(0, tempo), Meter(0, *meter), **options)
    return model.generate([piece_rng(0, index) for index in range(rngs)], request)


def steps_of(notes, n_steps, steps_per_beat=4):
    score = Score((Track(tuple(notes)),))
    return voice_to_symbols(notes, beat_time(score, steps_per_beat), n_steps).tolist()


# the net


def test_the_net_has_the_parameters_of_the_published_versions():
    counts = {}
    for name in ("paper", "deep", "200", "100"):
        with torch.device("meta"):
            model = TwoPartLSTM(PRESETS[name], {"filters": True})
        counts[name] = sum(parameter.numel() for parameter in model.parameters())
    assert counts == {"paper": 1_317_800, "deep": 1_819_550, "200": 854_250, "100": 227_150}


def test_the_plan_is_that_of_the_code():
    (stage,) = TwoPartLSTM(Config(d_hidden=4), {}).stages()
    rule = stage.optimizers["model"]
    assert (rule.kind, rule.learning_rate) == ("adam", 0.05)
    assert (stage.epochs, stage.batch_size) == (16, 64)
    config = PRESETS["paper"]
    assert (config.l2, config.n_characters, config.truncation) == (0.0015, 2000, 300)
    batch = torch.zeros(2, 2001, dtype=torch.uint8)
    assert len(list(TwoPartLSTM(Config(d_hidden=4), {}).losses(batch, "characters"))) == 7


# strings


def test_a_piece_is_all_its_pairs_of_voices_each_in_windows_of_its_own():
    score = Score(tuple(Track(line(*pitches)) for pitches in ((72, 74), (60, 62), (48, 50))))
    strings = TwoPartStrings(Config(grid="beats", n_characters=6))
    numbers = strings.encode(score, {"filters": False})
    text = "".join("." if number == PADDING else SYMBOLS[number] for number in numbers)
    assert text == "MYMYO[O[" + 8 * "." + "MeMeOgOg" + 8 * "." + "YeYe[g[g"
    assert strings.starts(numbers) == [0, 6, 16, 22, 32, 38]
    assert strings.length == 7


def test_windows_never_hold_two_pairs():
    for n_steps in range(1, 9):
        voices = [tuple(Note(120 * step, pitch, 120) for step in range(n_steps)) for pitch in (72, 60, 48)]
        strings = TwoPartStrings(Config(grid="beats", n_characters=6))
        numbers = strings.encode(Score(tuple(Track(voice) for voice in voices)), {})
        starts = strings.starts(numbers)
        padded = np.concatenate([numbers, np.full(7, PADDING)])
        kinds = [set(padded[start : start + 7].tolist()) - {PADDING} for start in starts]
        assert all(len(kind) == 2 for kind in kinds)
        seen = sum((padded[start : start + 6] != PADDING).sum() for start in starts)
        assert seen == (numbers != PADDING).sum()
        assert all(start % 2 == 0 for start in starts)


def test_pairs_whose_voices_sound_the_most_come_first():
    score = Score(
        tuple(
            Track(line(*pitches), program=program)
            for program, pitches in enumerate(((72, 74, 76), (60, 62), (48, 50, 52, 53), (40,)))
        )
    )
    strings = TwoPartStrings(Config(grid="beats", max_pairs=1))
    numbers = strings.encode(score, {"filters": False})
    assert "".join(SYMBOLS[number] for number in numbers[:2]) == "Me"
    assert len(numbers) == 16


def test_the_grid_is_a_sixteenth_of_a_second_at_any_tempo():
    for tempo, count in ((500_000, 8), (1_000_000, 16)):
        score = Score((Track(line(72, length=480)), Track(line(48, length=480))), 480, (Tempo(0, tempo),))
        assert len(TwoPartStrings(Config()).encode(score, {})) == 2 * count


def test_a_corpus_that_the_filters_refuse_is_learned_without_them():
    score = Score((Track(line(72, 74)), Track(line(60, 62))))
    strings = TwoPartStrings(Config())
    assert strings.learn([score]) == {"filters": False}
    assert len(strings.encode(score, {"filters": False}))
    assert not len(strings.encode(score, {"filters": True}))
    full = Score((Track(line(*[72, 74] * 60)), Track(line(*[60, 62] * 60))))
    assert strings.learn([score, full]) == {"filters": True}


def test_instruments_can_be_chosen():
    score = Score((Track(line(72, 74)), Track(line(60, 62)), Track(line(40, 41), program=33)))
    assert not len(TwoPartStrings(Config(programs=(33,))).encode(score, {}))
    assert len(TwoPartStrings(Config(programs=(0,))).encode(score, {}))


# writing


def test_equal_characters_are_one_note_on_the_grid_of_beats():
    model = saying(model_of(grid="beats", longest_repeat=None), only(60))
    (piece, _) = write(model, 2)
    upper, lower = piece.tracks
    assert [(note.onset, note.pitch, note.duration) for note in upper.notes] == [(0, 60, 3840)]
    assert (upper.name, lower.name) == ("upper voice", "lower voice")
    assert lower.notes[-1].end == 3840


@pytest.mark.parametrize("tempo", [400_000, 500_000, 1_000_000])
def test_a_step_lasts_a_sixteenth_of_a_second_when_played(tempo):
    (piece, *_) = write(model_of(), 4, tempo=tempo)
    for note in piece.notes():
        for tick in (note.onset, note.end):
            steps = piece.tick_to_seconds(tick) * 16
            assert abs(steps - round(steps)) < 0.02 or tick == piece.end
    assert piece.n_bars == 4


def test_silence_is_squeezed_and_neither_starts_a_piece_nor_fills_its_last_bar():
    parts = _Parts(n_steps=14, last_bar=12, longest_repeat=None)
    parts.take([(0, 0)] * 5 + [(3, 0)] + [(0, 0)] * 20 + [(0, 4), (3, 4)] + [(0, 0)] * 30 + [(5, 5)])
    assert parts.steps == [(3, 0), *[(0, 0)] * 8, (0, 4), (3, 4), (0, 0), (5, 5)]
    assert not parts.is_full


def test_long_repeats_are_squeezed_where_that_is_wanted():
    for longest, kept in ((4, 4), (None, 9)):
        parts = _Parts(n_steps=20, last_bar=19, longest_repeat=longest)
        parts.take([(3, 7)] * 9 + [(3, 8)])
        assert parts.steps == [(3, 7)] * kept + [(3, 8)]


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (7, 16)])
@pytest.mark.parametrize("grid", ["seconds", "beats"])
def test_a_net_that_hardly_plays_or_never_moves_still_fills_its_bars(grid, meter):
    for logits in (only(60, rest=12.0), only(72), only(60, 62, rest=0.0)):
        for piece in write(saying(model_of(grid=grid), logits), 5, meter=meter):
            assert piece.n_bars == 5
            assert piece.end <= Request(5, Tempo(0), Meter(0, *meter)).end(480)
            assert min(note.onset for note in piece.notes()) == 0


def context_of(model, prime):
    """The symbols that the net hears of a prime, row by row."""
    rows = []
    forward = model.net.forward
    model.net.forward = lambda symbols, states=None: rows.append(symbols) or forward(symbols, states)
    pieces = write(model, 1, rngs=3, prime=prime)
    return rows[0], pieces


def test_a_prime_of_two_voices_is_heard_as_they_alternate():
    prime = Score((Track(line(72, 74)), Track(line(48, 50))))
    heard, _ = context_of(model_of(grid="beats"), prime)
    assert "".join(SYMBOLS[symbol] for symbol in heard[0]) == "MeMeOgOg"


@pytest.mark.parametrize(("given", "place"), [("upper", 1), ("lower", 0)])
def test_a_prime_of_one_voice_is_answered_by_the_net(given, place, monkeypatch):
    """The net hears the given voice at its place of each step, and itself at the other."""
    from generators.graves import CharacterWriter

    model = model_of(grid="beats", given=given)
    read, heard = CharacterWriter.read, []
    monkeypatch.setattr(
        CharacterWriter, "read", lambda self, each: heard.append(each.clone()) or read(self, each)
    )
    prime = Score((Track(line(72, 74, 76)),))
    pieces = write(model, 1, rngs=3, prime=prime)
    steps = torch.stack(heard[:12], dim=1).unflatten(1, (-1, 2))  # (pieces, steps, voices)
    assert steps[:, :, place].tolist() == [steps_of(prime.tracks[0].notes, 6)] * 3
    assert len({tuple(row) for row in steps[:, :, 1 - place].tolist()}) == 3
    assert len(pieces) == 3


def test_answers_follow_from_the_whole_of_what_was_played(trained):
    """The answer drawn step by step is that of the net run on everything from the start, same uniforms."""
    stored = checkpoint.load(trained("two_part_lstm"))
    model, melody = stored.model, Score((Track(line(72, 74, 76, 77, length=480)),))
    (piece,) = harmonize(trained("two_part_lstm"), melody, seed=5)
    to_step = model.strings.clock(melody)
    n_steps = 16  # four beats
    heard = voice_to_symbols(melody.tracks[0].notes, to_step, n_steps).tolist()
    draws = torch.rand(2 * n_steps, generator=piece_rng(5, 0), dtype=torch.float64).tolist()
    text = [0, 0]
    with torch.no_grad():
        for step in range(n_steps):
            weights = torch.softmax(model.net(torch.tensor([text]))[0][0, -1].double(), 0)
            text.append(int((weights.cumsum(0) <= draws[2 * step]).sum()))
            text.append(heard[step])
    answer = voice_to_symbols(piece.tracks[1].notes, to_step, n_steps).tolist()
    assert answer == text[2::2]
    assert len(set(answer)) > 1


@pytest.mark.parametrize("given", ["upper", "lower"])
@pytest.mark.parametrize("grid", ["seconds", "beats"])
def test_a_melody_comes_back_note_for_note_with_an_answer_within_its_length(given, grid):
    melody = Score(
        (Track(line(60, 67, 71, 90, length=37), program=40, name="Violin"), Track(line(35), is_drum=True)),
        96,
        (Tempo(0, 700_000), Tempo(60, 300_000)),
        (Meter(0, 3, 8),),
    )
    model = model_of(given=given, grid=grid)
    for piece in model.harmonize(melody, [piece_rng(0, 0)]):
        sung, answer = piece.tracks
        assert (sung.notes, sung.program) == (melody.tracks[0].notes, 40)
        assert answer.notes
        assert answer.notes[-1].end <= 148
        assert all(now.end <= then.onset for now, then in pairwise(answer.notes))
        assert (piece.tempos, piece.meters, piece.ticks_per_beat) == (melody.tempos, melody.meters, 96)


def test_an_answer_is_never_silent():
    melody = Score((Track(line(60, 62)),))
    (piece,) = saying(model_of(), only(50, rest=50.0)).harmonize(melody, [piece_rng(0, 0)])
    assert {note.pitch for note in piece.tracks[1].notes} == {50}


def test_a_trained_model_writes_two_voices(trained):
    for piece in generate(trained("two_part_lstm"), count=3, bars=6):
        assert len(piece.tracks) == 2
        for track in piece.tracks:
            assert all(now.end <= then.onset for now, then in pairwise(track.notes))
            assert all(36 <= note.pitch <= 84 for note in track.notes)
