import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.melody.extraction import LINES, melodies_of
from analysis.melody.search import MelodyIndex
from analysis.plagiarism.melodies import measure_melodies
from analysis.plagiarism.pair import pair_view
from analysis.plagiarism.settings import CorpusItem, Settings
from music.score import Meter, Note, Score, Track


def tune(seed, n=48, *, first=0, low=55):
    """Notes one after another with no two steps alike for long, and few repeats."""
    rng = np.random.default_rng(seed)
    notes, onset, pitch = [], first, low + 12
    for _ in range(n):
        step = int(rng.choice([1, 2, 3, 4, 5, 7]))
        down = pitch - step >= low and (rng.random() < 0.5 or pitch + step > low + 24)
        pitch += -step if down else step
        length = int(rng.choice([240, 480, 720]))
        notes.append(Note(onset, pitch, length))
        onset += length
    return notes


def moved(notes, ticks, semitones):
    return [Note(note.onset + ticks, note.pitch + semitones, note.duration) for note in notes]


def score(*voices, meter=None):
    meters = (Meter(0, *meter),) if meter else ()
    return Score(tuple(Track(tuple(notes)) for notes in voices), 480, meters=meters)


def corpus_of(n, split="train"):
    return [CorpusItem(f"c{seed}", score(tune(seed)), split) for seed in range(n)]


def test_a_match_says_bars_and_beats_of_both_pieces_in_their_own_meters():
    source = tune(3)
    copied = [note for note in source if note.onset >= 2 * 1440][:30]
    shift = 4 * 1920 + 240 - copied[0].onset
    opening = tune(50, 10)
    own = [note for note in opening if note.end < 4 * 1920] + moved(copied, shift, 2)
    corpus = [*corpus_of(3), CorpusItem("waltz", score(source, meter=(3, 4)))]
    (entry,), _, _ = measure_melodies([("g", score(own))], corpus, Settings(edits=1))
    match = entry["matches"][0]
    assert (match["corpus_piece"], match["transposition"], match["matched"]) == ("waltz", -2, 29)
    assert (match["bars"][0], match["beats"][0]) == (5, 1.5)
    bar, within = divmod(copied[0].onset, 1440)
    assert (match["corpus_bars"][0], match["corpus_beats"][0]) == (bar + 1, 1 + within / 480)
    bar, within = divmod(copied[-1].onset, 1440)
    assert (match["corpus_bars"][1], match["corpus_beats"][1]) == (bar + 1, 1 + within / 480)


def test_frontiers_are_ranked_among_those_of_held_out_music():
    corpus = corpus_of(6) + [CorpusItem(f"h{seed}", score(tune(seed)), "test") for seed in range(20, 28)]
    generated = [("copy", score(tune(2))), ("new", score(tune(40)))]
    entries, summary, found = measure_melodies(generated, corpus, Settings(reference="train"))
    assert entries[0]["frontier_rank"] == [1.0] * 4
    assert entries[0]["baseline_rank"] == 1.0
    index = MelodyIndex.build([melodies_of(item.score)[0] for item in corpus[:6]])
    human = [index.longest(melodies_of(item.score))[0] for item in corpus[6:]]
    assert summary["baseline"]["n"] == len(human)
    for k in range(4):
        smaller = sum(match.frontier[k] < entries[1]["frontier"][k] for match in human)
        assert entries[1]["frontier_rank"][k] == smaller / len(human)
    assert found["baseline"] == [match.score for match in human]


@pytest.mark.parametrize("line", [name for name in LINES if name.startswith("melodl4j")])
def test_a_copy_in_any_voice_is_found_in_whatever_voice_it_stands(line):
    """Two voices each; the lower one of the piece stands in the upper one of the corpus piece."""
    stolen = tune(7)
    own = score(tune(8, low=70), moved(stolen, 960, -7))
    corpus = [*corpus_of(4), CorpusItem("source", score(stolen, tune(9, low=40)))]
    settings = Settings(line=line, only="melody")
    (entry,), summary, _ = measure_melodies([("g", own)], corpus, settings)
    match = entry["matches"][0]
    assert (match["corpus_piece"], match["corpus_index"]) == ("source", 4)
    assert (match["voice"], match["corpus_voice"], match["transposition"]) == (1, 0, 7)
    assert match["matched"] == entry["tokens"] == 47
    assert (summary["n"], summary["n_empty"], summary["n_corpus_pieces"]) == (2, 0, 5)
    view = pair_view(own, corpus[4].score, match, settings={"line": line})
    assert view.generated.n_shared == view.corpus.n_shared == 48


def test_a_piece_whose_voices_are_all_refused_has_no_result_and_is_counted():
    """One note over and over: MELODL4J's filters leave nothing of it."""
    dull = score([Note(480 * i, 60, 480) for i in range(30)])
    entries, summary, _ = measure_melodies(
        [("dull", dull), ("g", score(tune(1)))], corpus_of(3), Settings(line="melodl4j-v1")
    )
    assert entries[0] is None
    assert summary["n_empty"] == 1
    assert entries[1]["matches"][0]["corpus_piece"] == "c1"


def test_a_corpus_whose_voices_are_all_refused_is_told_why():
    dull = CorpusItem("dull", score([Note(480 * i, 60, 480) for i in range(30)]))
    with pytest.raises(AnalysisError, match="the filters of melodl4j-v2 refuse all; give another line"):
        measure_melodies([("g", score(tune(1)))], [dull], Settings(line="melodl4j-v2"))


def test_equal_voices_of_one_piece_are_no_twin_pieces():
    doubled = score(tune(5), moved(tune(5), 0, 12))
    corpus = [CorpusItem("doubled", doubled), CorpusItem("other", score(tune(5)))]
    (entry,), _, _ = measure_melodies([("g", score(tune(5)))], corpus, Settings(line="melodl4j-v1"))
    assert entry["matches"][0]["corpus_piece"] == "doubled"
    assert entry["matches"][0]["also_in"] == ["other"]
