import random
import re

import pytest

from analysis.melody.extraction import ENCODINGS
from analysis.plagiarism.report import CorpusItem, Settings, originality
from analysis.plagiarism.words import (
    ENCODING_WORDS,
    height_words,
    melody_match_words,
    melody_words,
    method_words,
    overlap_match_words,
    overlap_words,
    percent,
    semitones,
    shared_words,
    worst_words,
)
from music.score import Note, Score, Track


def tune(seed, n=64):
    rng = random.Random(seed)
    return Score((Track(tuple(Note(i * 240, rng.randrange(55, 80), 240) for i in range(n))),))


def plain(sentences):
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "0 %"),
        (0.004, "under 1 %"),
        (0.41, "41 %"),
        (0.996, "over 99 %"),
        (1.0, "100 %"),
        (None, "-"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_to_nothing(share, words):
    assert plain([percent(share)]) == words


def test_intervals_are_told_from_the_generated_piece_to_the_corpus():
    assert [semitones(d) for d in (0, None, 1, -3)] == [
        "in the same key",
        "in the same key",
        "1 semitone higher",
        "3 semitones lower",
    ]


def test_works_that_a_corpus_holds_twice_are_pointed_out():
    corpus = [CorpusItem("a", tune(1)), CorpusItem("b", tune(1, 63)), CorpusItem("c", tune(3))]
    words = plain(overlap_words(originality([("g", tune(9))], corpus)))
    assert "stand almost whole in another piece of the corpus: it seems to hold works twice" in words
    without = [corpus[0], corpus[2]]
    assert "twice" not in plain(overlap_words(originality([("g", tune(9))], without)))


def test_ties_at_the_human_percentile_are_counted_and_not_called_one_in_twenty():
    """A corpus that holds a work twice: the human 95th percentile is a share of all notes, tied."""
    corpus = [CorpusItem("a", tune(1)), CorpusItem("b", tune(1, 63)), *others(3, 12)]
    result = originality([("g", tune(9))], corpus)
    human = result["distributions"]["overlap"]["baseline"]
    n_whole = sum(score == 1 for score in human)
    assert result["summary"]["overlap"]["baseline"]["p95"] == 1
    assert n_whole / len(human) > 0.1
    words = plain(overlap_words(result))
    assert "one in twenty" not in words
    assert f"share all their notes; of the human windows, {n_whole} of {len(human)} do" in words


def test_the_comparison_names_what_it_is_about_and_counts_from_the_figure_it_says():
    result = originality([("g", tune(9)), ("h", tune(10))], [CorpusItem("a", tune(1)), *others(2, 6)])
    words = overlap_words(result)
    assert plain(words[1:2]).startswith("Generated windows share ")
    assert "That is" not in plain(words)
    limit, human = map(
        int, re.search(r"share (\d+) % of their notes or more; .*?, (\d+) of", plain(words)).groups()
    )
    assert human == sum(score >= limit / 100 for score in result["distributions"]["overlap"]["baseline"])
    melody = plain(melody_words(result))
    limit, human = map(int, re.search(r"a score of (\d+); of the human passages, (\d+) of", melody).groups())
    assert human == sum(score >= limit for score in result["distributions"]["melody"]["baseline"])


def others(first, last):
    return [CorpusItem(str(seed), tune(seed)) for seed in range(first, last) if seed not in (9, 10)]


def test_a_corpus_of_one_piece_gives_no_comparison():
    words = plain(overlap_words(originality([("g", tune(9))], [CorpusItem("a", tune(1))])))
    assert "There is no human music to compare with" in words


def test_what_is_not_counted_is_said():
    generated = [("g", tune(1)), ("silent", Score()), ("tiny", tune(1, 3)), ("pulse", pulse(40))]
    result = originality(generated, [CorpusItem("a", tune(1)), CorpusItem("p", pulse(30))])
    overlap, melody = plain(overlap_words(result)), plain(melody_words(result))
    assert "Not counted: 1 window without notes." in overlap
    assert "Not counted: 1 window of fewer than 8 notes." in overlap
    assert "Not counted: 2 pieces without a melody of at least five notes." in melody
    assert "Marked as monotonous: 1 match" in melody


def pulse(n):
    return Score((Track(tuple(Note(i * 240, 60, 240) for i in range(n))),))


def test_a_match_says_where_it_stands_and_in_which_key():
    own = Score((Track(tuple(Note(n.onset, n.pitch + 2, n.duration) for n in tune(1).notes())),))
    result = originality([("g", own)], [CorpusItem("source", tune(1))], settings=Settings(transpose=True))
    piece = result["pieces"][0]
    overlap = plain([overlap_match_words(piece["overlap"], piece["overlap"]["matches"][0])])
    assert overlap == (
        "32 of the 32 notes of the window from bar 1 (100 %) stand in source from bar 1, 2 semitones lower; "
        "they are 100 % of that corpus window."
    )
    melody = plain([melody_match_words(piece["melody"]["matches"][0])])
    assert melody == "63 steps unchanged in bars 1 to 8 stand in source in bars 1 to 8, 2 semitones lower."
    assert plain(worst_words(result)).startswith("Most is shared by g: 32 of the 32 notes")


def test_a_drawing_says_what_lines_up():
    assert height_words(0, ()) == "Both excerpts are drawn in their own key."
    assert height_words(-5, ()) == (
        "The corpus excerpt is drawn 5 semitones down, so that shared notes stand at one height."
    )
    assert height_words(1, (-12,)).endswith("1 semitone up; shared notes stand at one height up to octaves.")
    assert "up to octaves, the others do not" in height_words(0, (-12, 3))


def test_a_drawing_counts_doubled_notes_once():
    assert shared_words(27, 27) == "27 shared notes"
    assert shared_words(27, 28) == "27 shared notes (28 outlined: doubled notes count once)"
    assert shared_words(230, 1, "cell") == "230 sounding grid cells in common; 1 note outlined"


def test_held_cells_are_not_called_notes():
    result = originality([("g", tune(1))], [CorpusItem("a", tune(1))], settings=Settings(unit="cell"))
    words = plain(worst_words(result))
    assert "64 of the 64 sounding grid cells of the window from bar 1" in words


def test_height_and_speed_are_those_of_the_corpus():
    """The generated melody is the corpus one at double speed: the corpus is half as fast."""
    notes = [Note(note.onset // 2, note.pitch, note.duration // 2) for note in tune(1).notes()]
    result = originality([("g", Score((Track(tuple(notes)),)))], [CorpusItem("source", tune(1))])
    match = result["pieces"][0]["melody"]["matches"][0]
    assert match["tempo_ratio"] == 2
    words = melody_match_words(match)
    assert words.endswith(
        "in bars 1 to 4 stand in source in bars 1 to 8, in the same key and 0.5 times as fast."
    )


def test_the_method_names_what_was_searched_and_how():
    corpus = [CorpusItem("a", tune(1)), CorpusItem("b", tune(2))]
    settings = Settings(transpose=True, offsets="bar", baseline_windows=3, seed=8)
    words = plain(method_words(originality([("g", tune(9))], corpus, settings=settings)))
    assert "25 transpositions from −12 to 12 semitones" in words
    assert "at every bar line" in words
    assert "2 corpus pieces" in words
    assert "3 of 10 windows drawn with seed 8" in words
    assert "Smith-Waterman" in words
    assert "leaps beyond an octave folded into one, with the ratio" in words


def test_every_way_to_write_a_melody_has_its_words():
    assert set(ENCODING_WORDS) == set(ENCODINGS)
