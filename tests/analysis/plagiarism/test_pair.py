import random
from dataclasses import replace

import pytest

from analysis.errors import AnalysisError
from analysis.plagiarism.pair import pair_view
from analysis.plagiarism.report import CorpusItem, Settings, originality
from music.drawing import pianoroll_svg
from music.score import Meter, Note, Score, Tempo, Track


def line(seed, n=64, *, ticks_per_beat=480):
    rng = random.Random(seed)
    eighth = ticks_per_beat // 2
    notes = [Note(i * eighth, rng.randrange(55, 80), eighth) for i in range(n)]
    return Score((Track(tuple(notes)),), ticks_per_beat=ticks_per_beat)


def places(excerpt, notes, *, transposed=0):
    """Where notes are within their excerpt, in beats, and how high."""
    beat = excerpt.score.ticks_per_beat
    return {((note.onset - excerpt.start_tick) / beat, note.pitch + transposed) for note in notes}


def best_view(generated, corpus, part="overlap", **options):
    found = originality(
        [("g", generated)], [CorpusItem("c", corpus)], settings=Settings(only=part, **options)
    )
    match = found["pieces"][0][part]["matches"][0]
    return pair_view(generated, corpus, match, settings=found["settings"]), match


def test_shared_notes_stand_at_one_place_and_height_in_both_excerpts():
    corpus = line(1)
    rng = random.Random(0)
    kept = [note for note in corpus.notes() if 1920 <= note.onset < 5 * 1920 and rng.random() < 0.7]
    own = [replace(note, onset=note.onset - 1920, pitch=note.pitch + 3) for note in kept]
    foreign = [Note(i * 960, 100, 480) for i in range(4)]
    view, match = best_view(Score((Track(tuple(own + foreign)),)), corpus, transpose=True)
    assert view.transposition == -match["transposition"] == 3
    assert set(view.generated.shared) == set(own)
    assert len(view.corpus.shared) == match["shared"] == len(kept)
    assert places(view.generated, view.generated.shared) == places(view.corpus, view.corpus.shared)
    assert view.generated.end_tick - view.generated.start_tick == 4 * 1920
    assert (view.corpus.start_tick, view.corpus.end_tick) == (1920, 5 * 1920)


def test_excerpts_hold_only_what_sounds_in_them():
    corpus = line(2)
    view, _ = best_view(corpus, corpus, window_bars=1)
    excerpt = view.corpus
    assert all(n.onset < excerpt.end_tick and n.end > excerpt.start_tick for n in excerpt.score.notes())
    assert excerpt.score.n_notes == 8
    assert excerpt.shared == tuple(excerpt.score.notes())


def test_pieces_of_other_resolution_are_aligned_in_beats():
    corpus = line(3, ticks_per_beat=96)
    own = line(3)
    view, match = best_view(own, corpus)
    assert match["score"] == 1.0
    assert places(view.generated, view.generated.shared) == places(view.corpus, view.corpus.shared)


def test_a_window_that_starts_before_its_piece_gets_silence():
    corpus = line(4, 40)
    own = [replace(note, onset=note.onset + 1200) for note in corpus.notes() if note.onset < 1920 * 3]
    view, match = best_view(Score((Track(tuple(own)),)), corpus)
    assert match["start"] == -10
    assert match["bar"] == 0
    assert view.corpus.start_tick >= 0
    assert places(view.generated, view.generated.shared) == places(view.corpus, view.corpus.shared)
    assert len(view.corpus.shared) == match["shared"]


def test_silence_before_a_piece_moves_its_tempo_and_meter_with_it():
    corpus = replace(
        line(4, 40), tempos=(Tempo(0), Tempo(1920, 250_000)), meters=(Meter(0), Meter(1920, 3, 4))
    )
    match = {"transposition": 0, "window_start": 0, "start": -4, "window_steps": 64}
    view = pair_view(line(5), corpus, match)
    moved = view.corpus.score
    assert [tempo.tick for tempo in moved.tempos] == [0, 3840]
    assert [meter.tick for meter in moved.meters] == [0, 3840]
    assert (view.corpus.start_tick, view.corpus.end_tick) == (1440, 1440 + 64 * 120)


def test_held_cells_mark_a_note_if_at_least_half_of_it_is_shared():
    own = Score((Track((Note(0, 60, 1920), Note(0, 64, 1920))),))
    corpus = Score((Track((Note(0, 60, 960), Note(0, 64, 480))),))
    match = {"transposition": 0, "window_start": 0, "start": 0, "window_steps": 16}
    view = pair_view(own, corpus, match, settings={"unit": "cell", "steps_per_beat": 4})
    assert [note.pitch for note in view.generated.shared] == [60]
    assert [note.pitch for note in view.corpus.shared] == [60, 64]


def test_drums_are_left_out():
    own = line(6)
    both = own.with_tracks([*own.tracks, Track((Note(0, 36, 480),), is_drum=True)])
    view, _ = best_view(both, both)
    assert not any(track.is_drum and track.notes for track in view.generated.score.tracks)


def test_a_melody_pair_marks_the_notes_that_match():
    corpus = line(7)
    notes = list(corpus.notes())
    own = [Note(note.onset, note.pitch - 5, note.duration) for note in notes[10:50]]
    own[20] = replace(own[20], pitch=own[20].pitch + 1)
    shift = own[0].onset
    own = [replace(note, onset=note.onset - shift) for note in own]
    view, match = best_view(Score((Track(tuple(own)),)), corpus, "melody")
    assert (match["start"], match["end"], match["corpus_start"], match["corpus_end"]) == (0, 40, 10, 50)
    assert view.transposition == -5
    assert set(view.generated.shared) == set(own) - {own[20]}
    expected = {(note.onset, note.pitch - 5) for note in notes[10:50]} - {
        (notes[30].onset, notes[30].pitch - 5)
    }
    assert {(note.onset, note.pitch) for note in view.corpus.shared} == expected
    assert view.generated.seconds == pytest.approx(10.0)
    assert view.corpus.start_seconds == pytest.approx(2.5)


def test_both_excerpts_can_be_drawn_on_one_scale():
    view, _ = best_view(line(8), line(8))
    lowest, highest = view.pitches
    assert lowest == min(note.pitch for note in line(8).notes() if note.onset < view.generated.end_tick)
    for excerpt in (view.generated, view.corpus):
        drawn = pianoroll_svg(
            excerpt.score,
            start_tick=excerpt.start_tick,
            end_tick=excerpt.end_tick,
            marked=excerpt.shared,
            pitches=(lowest, highest),
        )
        assert drawn.count('class="shared"') == len(excerpt.shared)


def test_doubled_notes_count_once_in_both_excerpts_as_in_the_result():
    """A second track in unison: more notes are outlined in the corpus than are shared."""
    own = line(9)
    unison = Track(tuple(replace(note, duration=60) for note in own.notes() if note.onset < 8 * 480))
    corpus = own.with_tracks([*own.tracks, unison])
    view, match = best_view(own, corpus)
    assert view.generated.n_shared == view.corpus.n_shared == match["shared"] == 32
    assert (len(view.generated.shared), len(view.corpus.shared)) == (32, 48)
    melody, found = best_view(own, corpus, "melody")
    assert melody.generated.n_shared == melody.corpus.n_shared == len(found["note_pairs"]) == 64


def test_notes_that_match_an_octave_away_are_told_apart_from_those_at_one_height():
    """A leap beyond an octave is folded, so what comes after it may lie an octave off."""
    low = [Note(i * 240, pitch, 240) for i, pitch in enumerate([60, 62, 64, 60, 65, 67, 69, 65, 64, 62])]
    high = [Note((10 + i) * 240, pitch, 240) for i, pitch in enumerate([76, 77, 79, 81, 83, 84])]
    dropped = [replace(note, pitch=note.pitch - 12) for note in high]
    corpus, own = (Score((Track(tuple(low + end)),)) for end in (high, dropped))
    view, match = best_view(own, corpus, "melody")
    assert (match["matched"], match["transposition"]) == (15, 0)
    assert view.apart == (12,)
    same, _ = best_view(corpus, corpus, "melody")
    assert same.apart == ()


def test_a_match_of_other_pieces_is_refused():
    spans = {"start": 0, "end": 90, "corpus_start": 0, "corpus_end": 90}
    match = {**spans, "voice": 0, "corpus_voice": 0, "transposition": 0, "note_pairs": []}
    with pytest.raises(AnalysisError, match="the melodies have 64 and 64: are these the pieces"):
        pair_view(line(1), line(2), match)
