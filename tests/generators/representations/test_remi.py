import itertools
import random

import numpy as np
import pytest
import torch

from generators.family import Request
from generators.representations.remi import (
    DURATIONS,
    STEPS_PER_BEAT,
    RemiLanguage,
    RemiTokens,
    Vocabulary,
    bars_of,
    folded,
)
from music.score import Meter, Note, Score, Tempo, Track

REMI = RemiTokens(length=65, hop=32, transpose=(5, 6))


def names_of(score, learned=None):
    learned = learned or REMI.learn([score])
    words = Vocabulary(learned)
    return [words.names[token] for token in REMI.encode(score, learned)]


def random_score(seed, *, meter=(4, 4), programs=((0, False),), n_notes=60, n_bars=8):
    """On-grid notes of several instruments and loudnesses, no two alike."""
    rng = random.Random(seed)
    meter = Meter(0, *meter)
    steps = int(n_bars * meter.beats_per_bar * STEPS_PER_BEAT)
    tracks = []
    for program, is_drum in programs:
        places = {(rng.randrange(steps), rng.randrange(40, 80)) for _ in range(n_notes)}
        notes = []
        for step, pitch in sorted(places):
            later = [other for other, height in places if height == pitch and other > step]
            duration = min(rng.choice(DURATIONS), min(later, default=steps) - step)
            duration = max(length for length in DURATIONS if length <= duration)
            notes.append(Note(step * 40, pitch, duration * 40, rng.choice([15, 79, 127])))
        tracks.append(Track(tuple(notes), program=program, is_drum=is_drum))
    return Score(tuple(tracks), 480, (), (meter,))


def test_a_bar_is_written_as_in_the_paper():
    notes = (Note(0, 60, 240, 79), Note(0, 64, 240, 79), Note(720, 67, 40, 79), Note(1920, 60, 2040, 79))
    assert names_of(Score((Track(notes),))) == [
        "BOS_None",
        "Bar_None",
        "Position_0",
        "Pitch_60",
        "Duration_0.6.12",
        "Pitch_64",
        "Duration_0.6.12",
        "Position_18",
        "Pitch_67",
        "Duration_0.1.12",
        "Bar_None",
        "Position_0",
        "Pitch_60",
        "Duration_4.1.4",
        "EOS_None",
    ]


def by_place(names):
    """Tokens cut before each bar and place; what is in one is in any order."""
    groups = []
    for name in names:
        if name == "Bar_None" or name.startswith("Position"):
            groups.append([name])
        elif not name.startswith("TimeSig"):
            has_programs = any(each.startswith("Program") for each in names)
            if name.startswith("Program" if has_programs else "Pitch"):
                groups[-1].append(name)
            else:
                groups[-1][-1] += " " + name
    return [[group[0], *sorted(group[1:])] for group in groups]


@pytest.mark.parametrize("meter", [(4, 4), (3, 4)])
@pytest.mark.parametrize("programs", [[(0, False)], [(0, False), (33, False), (0, True)]])
def test_tokens_are_those_of_miditok_where_a_beat_is_a_quarter(meter, programs):
    """But for its meter in every bar, and the order of instruments in a place."""
    import symusic
    from miditok import REMI as Reference
    from miditok import TokenizerConfig

    score = random_score(3, meter=meter, programs=programs)
    reference = symusic.Score(480)
    reference.time_signatures.append(symusic.TimeSignature(0, *meter))
    for track in score.tracks:
        copy = symusic.Track(program=track.program, is_drum=track.is_drum)
        for note in track.notes:
            copy.notes.append(symusic.Note(note.onset, note.duration, note.pitch, note.velocity))
        reference.tracks.append(copy)
    settings = TokenizerConfig(
        beat_res={(0, 4): 12, (4, 12): 4},
        num_velocities=8,
        use_programs=len(programs) > 1,
        one_token_stream_for_programs=True,
        use_pitchdrum_tokens=True,
        use_time_signatures=True,
        time_signature_range={4: [3, 4]},
    )
    sequence = Reference(settings)(reference)
    expected = (sequence if len(programs) > 1 else sequence[0]).tokens
    assert by_place(names_of(score)[1:-1]) == by_place(expected)
    if len(programs) == 1:
        assert names_of(score)[1:-1] == [name for name in expected if not name.startswith("TimeSig")]


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (2, 2), (5, 8), (7, 16), (9, 2), (7, 64)])
@pytest.mark.parametrize("programs", [[(0, False)], [(0, True)], [(0, False), (61, False), (0, True)]])
def test_pieces_on_the_grid_come_back_as_they_were(meter, programs):
    score = random_score(5, meter=meter, programs=programs, n_bars=24 if meter[1] > 8 else 8)
    if meter == (7, 64):  # a bar of 5 1/4 steps has no grid of its own
        score = score.with_tracks([Track((Note(0, 60, 40, 15), Note(210, 62, 40, 79)), *programs[0])])
    learned = REMI.learn([score])
    language = RemiLanguage(learned)
    request = Request(score.n_bars, Tempo(0), Meter(0, *meter))
    tokens = REMI.encode(score, learned)
    again = language.to_score(tokens.tolist(), request)
    assert sorted(again.notes()) == sorted(score.notes())
    assert {(t.program, t.is_drum) for t in again.tracks} == {(t.program, t.is_drum) for t in score.tracks}


@pytest.mark.parametrize("meter", [(4, 4), (6, 8), (7, 16), (9, 2)])
@pytest.mark.parametrize("programs", [[(0, False)], [(0, True)], [(0, False), (61, False), (0, True)]])
def test_the_grammar_allows_real_music_to_its_end(meter, programs):
    score = random_score(7, meter=meter, programs=programs)
    learned = REMI.learn([score])
    language, tokens = RemiLanguage(learned), REMI.encode(score, learned)
    n_bars = score.n_bars
    grammar = language.grammar(1, Request(n_bars, Tempo(0), Meter(0, *meter)), torch.device("cpu"))
    for token in tokens[1:].tolist():
        assert grammar.allowed()[0, token], language.words.names[token]
        assert not grammar.finished[0]
        grammar.advance(torch.tensor([token]))
    assert grammar.finished[0]


@pytest.mark.parametrize("meter", [(4, 4), (3, 8), (7, 16), (9, 2)])
@pytest.mark.parametrize("programs", [[(0, False)], [(0, True)], [(0, False), (61, False), (0, True)]])
def test_whatever_the_grammar_allows_can_be_played(meter, programs):
    """Tokens by chance: every note ends in the piece, none sounds twice at once, the last bar has one."""
    learned = REMI.learn(
        [random_score(1, programs=programs), random_score(2, meter=(3, 4), programs=programs)]
    )
    language = RemiLanguage(learned)
    request = Request(3, Tempo(0), Meter(0, *meter))
    grammar = language.grammar(8, request, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    written = []
    for _ in range(20_000):
        if grammar.finished.all():
            break
        chosen = grammar.allowed().float().multinomial(1, generator=rng)[:, 0]
        written.append(torch.where(grammar.finished, -1, chosen))
        grammar.advance(chosen)
    assert grammar.finished.all()
    for row in torch.stack(written, 1).tolist():
        tokens = [token for token in row if token >= 0]
        piece = language.to_score(tokens, request)
        assert sum(language.words.names[token].startswith("Pitch") for token in tokens) == piece.n_notes
        assert piece.n_bars == 3
        assert piece.end <= request.end(480)
        for track in piece.tracks:
            for pitch in {note.pitch for note in track.notes}:
                own = [note for note in track.notes if note.pitch == pitch]
                assert all(one.end <= two.onset for one, two in itertools.pairwise(own))


def test_as_much_is_written_as_of_the_piece_that_is_behind():
    language = RemiLanguage(REMI.learn([random_score(1)]))
    names = language.words.names
    grammar = language.grammar(2, Request(4, Tempo(0), Meter(0)), torch.device("cpu"))
    shares = []
    for pair in (("Bar_None", "Bar_None"), ("Bar_None", "Position_8"), ("Bar_None", "Bar_None")):
        grammar.advance(torch.tensor([names.index(name) for name in pair]))
        shares.append(grammar.share)
    length = int(grammar.lengths[0])
    assert shares == pytest.approx([0, 8 / length / 4, 1 / 4])
    grammar.finished[:] = torch.tensor([False, True])
    assert grammar.share == 2 / 4
    grammar.finished[0] = True
    assert grammar.share == 1


def test_a_bar_that_is_full_is_closed():
    score = random_score(1)
    learned = REMI.learn([score]) | {"bar_tokens": 9}
    grammar = RemiLanguage(learned).grammar(1, Request(2, Tempo(0), Meter(0)), torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    words, names = Vocabulary(learned), []
    while not grammar.finished.all():
        token = grammar.allowed().float().multinomial(1, generator=rng)[:, 0]
        names.append(words.names[int(token)])
        grammar.advance(token)
    second = names.index("Bar_None", 1)
    assert second <= 13  # nine tokens, and the end of the note at hand
    assert len(names) - second <= 14


def test_transposition_moves_pitches_and_nothing_else():
    score = random_score(4, programs=[(0, False), (0, True)])
    learned = REMI.learn([score])
    language, tokens = RemiLanguage(learned), torch.from_numpy(REMI.encode(score, learned)).long()
    request = Request(score.n_bars, Tempo(0), Meter(0))
    for semitones in (-5, 0, 6):
        moved = language.transposed(tokens[None], torch.tensor([semitones]))[0]
        again = language.to_score(moved.tolist(), request)
        for track, other in zip(
            sorted(score.tracks, key=lambda t: t.is_drum),
            sorted(again.tracks, key=lambda t: t.is_drum),
            strict=True,
        ):
            shift = 0 if track.is_drum else semitones
            assert [note.pitch + shift for note in track.notes] == [note.pitch for note in other.notes]
            assert [note.onset for note in track.notes] == [note.onset for note in other.notes]


def test_pitches_beyond_a_range_come_back_by_octaves():
    assert [folded(pitch, range(60, 73)) for pitch in (48, 59, 60, 72, 73, 127)] == [60, 71, 60, 72, 61, 67]
    assert [folded(pitch, range(60, 63)) for pitch in (0, 61, 127)] == [60, 61, 62]


def test_what_a_vocabulary_lacks_is_read_as_what_is_nearest():
    learned = REMI.learn([random_score(1, programs=[(0, False), (33, False)])])
    strange = Track((Note(0, 60, 9), Note(480, 61, 9)), program=38)
    drums = Track((Note(240, 36, 9),), is_drum=True)
    names = names_of(Score((strange, drums)), learned)
    assert names.count("Program_33") == 2
    assert not [name for name in names if "Drum" in name or name == "Program_0"]
    assert len(REMI.encode(Score((drums,)), learned)) == 0


def test_notes_move_to_the_nearest_place_perhaps_beyond_the_bar_line():
    score = Score((Track((Note(19, 60, 5), Note(21, 62, 59), Note(1901, 64, 100))),))
    bars = bars_of(score, 192)
    assert [sorted(bar.notes) for bar in bars] == [[0, 1], [0]]
    assert bars[0].notes[0] == {(0, 60): (1, 79)}
    assert bars[0].notes[1] == {(0, 62): (1, 79)}


def test_a_long_silence_is_shortened_and_one_at_the_end_left_out():
    long = Score((Track((Note(0, 60, 480), Note(1920 * 30, 62, 1920 * 9))),))
    names = names_of(long)
    assert names.count("Bar_None") == 1 + 4 + 1


def test_windows_overlap_and_reach_the_end():
    for n_tokens in (2, 64, 65, 66, 97, 98, 1000):
        starts = REMI.starts(np.zeros(n_tokens))
        covered = {place for start in starts for place in range(start, start + 65)}
        assert covered >= set(range(n_tokens))
        assert starts == list(range(0, 32 * len(starts), 32))
        assert len(starts) == 1 or starts[-2] + 65 < n_tokens
    assert REMI.starts(np.zeros(0)) == []


def test_rhythms_have_the_same_words_in_every_meter():
    def durations(meter):
        notes = tuple(Note(index * 240, 60 + index, 240) for index in range(6))
        names = names_of(Score((Track(notes),), 480, (), (Meter(0, *meter),)))
        return [name for name in names if name.startswith("Duration")]

    assert durations((2, 2)) == durations((6, 8)) == durations((3, 4)) == ["Duration_0.6.12"] * 6
