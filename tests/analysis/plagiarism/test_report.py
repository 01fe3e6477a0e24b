"""One result out of both measures: its shape, its baselines, and what it says of planted copies."""

import csv
import io
import json
import random
from dataclasses import replace

import pytest

from analysis.errors import AnalysisError
from analysis.plagiarism.report import CSV_COLUMNS, CorpusItem, Settings, originality, report_csv
from music.score import Meter, Note, Score, Track
from music.transform import transpose


def tune(seed, n_bars=8, *, pitches=range(56, 80), meters=()):
    """A piece of two voices in eighths and quarters, different for every seed."""
    rng = random.Random(seed)
    tracks = []
    for low in (0, -24):
        onset, notes = 0, []
        while onset < n_bars * 1920:
            length = min(rng.choice([240, 240, 480]), n_bars * 1920 - onset)
            notes.append(Note(onset, rng.choice(pitches) + low, length))
            onset += length
        tracks.append(Track(tuple(notes)))
    return Score(tuple(tracks), meters=meters)


def corpus_of(n, *, n_test=0, **options):
    return [CorpusItem(f"c{i}", tune(i, **options), "test" if i >= n - n_test else "train") for i in range(n)]


def moved(score, ticks):
    """The same piece after a silence."""
    tracks = [
        Track(tuple(replace(note, onset=note.onset + ticks) for note in track.notes))
        for track in score.tracks
    ]
    return score.with_tracks(tracks)


@pytest.fixture(scope="module")
def result():
    corpus = corpus_of(12, n_test=3)
    pieces = [
        ("copy", transpose(corpus[4].score, 3)),
        ("new", tune(99)),
        ("silent", Score()),
        ("three notes", Score((Track((Note(0, 60, 480), Note(480, 62, 480), Note(960, 64, 480))),))),
    ]
    return originality(pieces, corpus, settings=Settings(transpose=True, top=3))


def test_the_result_has_the_keys_that_other_programs_read(result):
    assert {"settings", "pieces", "summary"} <= set(result)
    assert {"unit", "window_steps", "steps_per_beat", "transpositions", "penalty"} <= set(result["settings"])
    assert result["settings"]["window_steps"] == 64
    assert result["settings"]["transpositions"] == list(range(-12, 13))
    piece = result["pieces"][0]
    assert {"piece", "notes", "overlap", "melody"} <= set(piece)
    assert {"score", "shared", "window_start", "matches"} <= set(piece["overlap"])
    match_keys = {"corpus_piece", "start", "transposition", "shared", "score", "reverse", "jaccard"}
    assert match_keys <= set(piece["overlap"]["matches"][0])
    assert {"score", "matched", "edits", "frontier", "matches"} <= set(piece["melody"])
    span_keys = {"start", "end", "corpus_start", "corpus_end", "transposition", "tempo_ratio", "similarity"}
    assert {"corpus_piece", "score", "matched", "edits"} | span_keys <= set(piece["melody"]["matches"][0])
    overlap = result["summary"]["overlap"]
    assert {"mean", "median", "p95", "max", "n", "n_empty", "shares", "baseline", "control", "excess"} <= set(
        overlap
    )
    assert list(overlap["shares"]) == ["0.5", "0.6", "0.8", "0.9", "1.0"]
    assert {"mean", "p95", "n"} <= set(overlap["baseline"])
    assert {"mean"} <= set(overlap["control"])
    assert result["summary"]["melody"]["frontier"]["median"]


def test_the_result_is_json_without_nan(result):
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_transposed_copy_is_found_whole_by_both_measures(result):
    copy = result["pieces"][0]
    best = copy["overlap"]["matches"][0]
    assert (copy["overlap"]["score"], best["corpus_piece"], best["transposition"]) == (1.0, "c4", -3)
    assert (best["start"], best["bar"], best["beat"]) == (0, 1, 1)
    assert best["corpus_index"] == 4
    assert best["reverse"] == best["jaccard"] == 1.0
    melody = copy["melody"]["matches"][0]
    assert (melody["corpus_piece"], melody["transposition"], melody["tempo_ratio"]) == ("c4", -3, 1.0)
    assert melody["matched"] == copy["melody"]["tokens"] == copy["melody"]["frontier"][0]
    assert (melody["start"], melody["end"]) == (0, copy["melody"]["tokens"] + 1)
    assert melody["bars"] == melody["corpus_bars"] == [1, 8]
    assert copy["overlap"]["baseline_rank"] == copy["melody"]["baseline_rank"] == 1.0


def test_matches_are_listed_best_first_one_per_piece(result):
    for piece in result["pieces"][:2]:
        for part in ("overlap", "melody"):
            matches = piece[part]["matches"]
            assert len(matches) == 3
            assert len({match["corpus_piece"] for match in matches}) == 3
            scores = [match["score"] for match in matches]
            assert scores == sorted(scores, reverse=True)
            assert piece[part]["score"] == scores[0]


def test_silence_and_fragments_have_no_part_in_averages(result):
    silent, fragment = result["pieces"][2:]
    assert (silent["notes"], silent["overlap"], silent["melody"]) == (0, None, None)
    assert fragment["overlap"]["few_notes"]
    assert fragment["melody"] is None
    overlap, melody = result["summary"]["overlap"], result["summary"]["melody"]
    assert (overlap["n"], overlap["n_empty"], overlap["n_few"]) == (10, 1, 1)
    assert (melody["n"], melody["n_empty"]) == (2, 2)
    assert len(result["distributions"]["overlap"]["generated"]) == 10


def test_the_summary_is_of_windows_and_a_piece_is_its_worst_window(result):
    scores = result["distributions"]["overlap"]["generated"]
    assert result["summary"]["overlap"]["mean"] == pytest.approx(sum(scores) / len(scores))
    assert result["pieces"][1]["overlap"]["score"] == max(scores[5:])
    assert result["pieces"][1]["overlap"]["mean"] == pytest.approx(sum(scores[5:]) / 5)
    worst = result["summary"]["overlap"]["worst_window_per_piece"]
    assert worst["n"] == 2
    assert worst["max"] == 1.0


def test_the_excess_is_over_held_out_human_music(result):
    summary = result["summary"]["overlap"]
    assert summary["baseline"]["kind"] == "held-out pieces"
    assert (summary["baseline"]["n_pieces"], summary["baseline"]["n"]) == (3, 15)
    assert summary["excess"] == pytest.approx(summary["mean"] - summary["baseline"]["mean"])
    assert summary["control"]["mean"] < summary["mean"]
    melody = result["summary"]["melody"]
    assert melody["excess"] == pytest.approx(melody["mean"] - melody["baseline"]["mean"])


def test_a_human_piece_is_never_compared_with_itself_its_twins_or_its_group():
    """Five pieces that are one: the baseline must see only the sixth."""
    original, stranger = tune(1), tune(2)
    corpus = [
        CorpusItem("a", original, "test"),
        CorpusItem("twin", replace(original, title="twin"), "train"),
        CorpusItem("transposed", transpose(original, 2), "train"),
        CorpusItem("stranger", stranger, "train"),
    ]
    found = originality([("g", tune(50))], corpus, settings=Settings(transpose=True))
    alone = originality(
        [("g", original)], [corpus[3], CorpusItem("x", tune(3))], settings=Settings(transpose=True)
    )
    assert found["summary"]["overlap"]["baseline"]["max"] < 0.5
    assert found["summary"]["overlap"]["baseline"]["max"] <= alone["summary"]["overlap"]["max"]
    assert found["summary"]["melody"]["baseline"]["max"] < 10

    other_version = original.with_tracks([Track(original.tracks[0].notes[1:]), original.tracks[1]])
    versions = [CorpusItem("a", original, "test"), CorpusItem("b", other_version, "train"), corpus[3]]
    apart = originality([("g", tune(50))], versions)["summary"]
    assert apart["overlap"]["baseline"]["max"] == 1.0
    assert apart["melody"]["baseline"]["max"] > 10
    grouped = [replace(item, group="work") for item in versions[:2]] + [corpus[3]]
    together = originality([("g", tune(50))], grouped)["summary"]
    assert together["overlap"]["baseline"]["max"] < 0.5
    assert together["melody"]["baseline"]["max"] < 10


def test_without_a_held_out_split_every_piece_is_compared_with_the_others():
    found = originality([("g", tune(9))], corpus_of(4))["summary"]["overlap"]["baseline"]
    assert (found["kind"], found["n_pieces"], found["n"]) == ("every piece against the others", 4, 20)


def test_a_corpus_of_one_piece_has_no_baseline():
    found = originality([("g", tune(9))], corpus_of(1))["summary"]
    for part in ("overlap", "melody"):
        assert found[part]["baseline"]["mean"] is None
        assert found[part]["baseline"]["n"] == 0
        assert found[part]["excess"] is None


def test_human_windows_are_drawn_by_the_seed():
    def baseline(seed):
        settings = Settings(only="overlap", baseline_windows=6, seed=seed)
        found = originality([("g", tune(9))], corpus_of(4), settings=settings)
        assert found["summary"]["overlap"]["baseline"]["n"] == 6
        assert found["summary"]["overlap"]["baseline"]["n_available"] == 20
        return found["distributions"]["overlap"]["baseline"], found["distributions"]["overlap"]["control"]

    assert baseline(1) == baseline(1)
    assert baseline(1) != baseline(2)


def test_human_melodies_are_cut_to_the_length_of_the_generated_ones():
    short = tune(9, n_bars=2)
    found = originality([("g", short)], corpus_of(3, n_bars=16), settings=Settings(only="melody"))
    baseline = found["summary"]["melody"]["baseline"]
    assert baseline["tokens"] == found["pieces"][0]["melody"]["tokens"]
    assert baseline["n"] > 3


def test_the_same_input_gives_the_same_result():
    pieces, corpus = [("g", tune(20)), ("h", tune(21))], corpus_of(5, n_test=1)
    assert originality(pieces, corpus) == originality(pieces, corpus)


@pytest.mark.parametrize("ticks", [120, 480, 1920, 1920 + 360])
def test_a_copy_moved_in_time_is_found_in_full(ticks):
    corpus = corpus_of(5)
    found = originality([("moved", moved(corpus[2].score, ticks))], corpus, settings=Settings(only="overlap"))
    best = found["pieces"][0]["overlap"]["matches"][0]
    assert (best["corpus_piece"], best["score"]) == ("c2", 1.0)
    assert best["start"] == found["pieces"][0]["overlap"]["window_start"] - ticks // 120


def test_a_thinned_and_noised_window_has_exactly_its_known_overlap():
    rng = random.Random(5)
    corpus = corpus_of(6)
    notes = [note for note in corpus[1].score.notes() if 1920 <= note.onset < 5 * 1920]
    kept = rng.sample(notes, 40)
    noise = [Note(rng.randrange(64) * 120, 100 + rng.randrange(10), 120) for _ in range(200)]
    added = {(note.onset, note.pitch): note for note in noise}
    planted = [replace(note, onset=note.onset - 1920, pitch=note.pitch + 4) for note in kept]
    piece = Score((Track(tuple(planted + list(added.values())[:17])),))
    found = originality([("planted", piece)], corpus, settings=Settings(transpose=True, only="overlap"))
    overlap = found["pieces"][0]["overlap"]
    assert (overlap["shared"], overlap["window_notes"]) == (40, 57)
    best = overlap["matches"][0]
    assert (best["corpus_piece"], best["start"], best["bar"], best["transposition"]) == ("c1", 16, 2, -4)
    assert best["reverse"] == pytest.approx(40 / len(notes))


def test_a_copied_window_in_twelve_eight_is_found_on_a_triplet_grid():
    meters = (Meter(0, 12, 8),)
    rng = random.Random(3)

    def jig(seed):
        rng = random.Random(seed)
        notes = [Note(i * 160, rng.choice(range(55, 80)), 160) for i in range(96)]
        return Score((Track(tuple(notes)),), meters=meters)

    corpus = [CorpusItem(f"j{i}", jig(i)) for i in range(4)]
    source = [note for note in corpus[3].score.notes() if 2880 <= note.onset < 5 * 2880]
    kept = rng.sample(source, 30)
    piece = Score((Track(tuple(replace(note, onset=note.onset - 2880) for note in kept)),), meters=meters)
    found = originality([("jig", piece)], corpus, settings=Settings(only="overlap", steps_per_beat=12))
    overlap = found["pieces"][0]["overlap"]
    assert overlap["window_steps"] == 4 * 72
    assert (overlap["score"], overlap["matches"][0]["corpus_piece"], overlap["matches"][0]["bar"]) == (
        1.0,
        "j3",
        2,
    )


def test_only_one_measure_is_made_if_asked():
    corpus = corpus_of(3)
    overlap = originality([("g", tune(9))], corpus, settings=Settings(only="overlap"))
    assert overlap["pieces"][0]["melody"] is overlap["summary"]["melody"] is None
    assert overlap["pieces"][0]["overlap"]
    melody = originality([("g", tune(9))], corpus, settings=Settings(only="melody"))
    assert melody["pieces"][0]["overlap"] is melody["summary"]["overlap"] is None
    assert melody["pieces"][0]["melody"]


def test_the_train_split_alone_can_be_searched():
    corpus = corpus_of(4, n_test=1)
    pieces = [("copy of a test piece", corpus[3].score)]
    everywhere = originality(pieces, corpus)
    assert everywhere["pieces"][0]["overlap"]["matches"][0]["corpus_piece"] == "c3"
    train = originality(pieces, corpus, settings=Settings(reference="train"))
    assert train["pieces"][0]["overlap"]["score"] < 0.6
    assert train["summary"]["overlap"]["n_corpus_pieces"] == 3


def test_a_piece_can_be_kept_from_its_own_source():
    corpus = corpus_of(4)
    corpus[2] = replace(corpus[2], group="work")
    pieces = [("mine", corpus[1].score), ("yours", corpus[2].score), ("free", corpus[1].score)]
    found = originality(pieces, corpus, exclude={"mine": ["c1"], "yours": ["work"]})["pieces"]
    for part in ("overlap", "melody"):
        names = [piece[part]["matches"][0]["corpus_piece"] for piece in found]
        assert names[0] != "c1"
        assert names[1] != "c2"
        assert names[2] == "c1"


def test_the_corpus_index_tells_pieces_of_one_name_apart():
    corpus = [CorpusItem("same", tune(i)) for i in range(3)]
    found = originality([("copy", tune(2))], corpus)["pieces"][0]
    assert found["overlap"]["matches"][0]["corpus_index"] == 2
    assert found["melody"]["matches"][0]["corpus_index"] == 2


def test_progress_rises_to_its_total():
    seen = []
    originality([("g", tune(9))], corpus_of(3), progress=lambda *step: seen.append(step))
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    assert {"note overlap", "melody match"} <= {words for _, _, words in seen}


def test_nothing_to_compare_is_an_error_that_says_so():
    with pytest.raises(AnalysisError, match="no generated pieces"):
        originality([], corpus_of(2))
    with pytest.raises(AnalysisError, match="the corpus has no pieces"):
        originality([("g", tune(1))], [])
    with pytest.raises(AnalysisError, match="no piece of the corpus has a note"):
        originality([("g", tune(1))], [CorpusItem("silent", Score())])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": "note"}, "unit must be one of onset, cell"),
        ({"only": "rhythm"}, "only must be one of overlap, melody, got 'rhythm'"),
        ({"top": 0}, "top must be 1 to 1000, got 0"),
        ({"penalty": 0}, "penalty must be 1 to 100, got 0"),
        ({"steps_per_beat": 0}, "steps_per_beat must be 1 to 96, got 0"),
        ({"window_steps": 0}, "window_steps must be 1 to 4096, got 0"),
        ({"transpositions": (200,)}, "transpositions must be semitones"),
        ({"transpositions": ()}, "transpositions must be semitones"),
        ({"reference": "test"}, "reference must be one of all, train, got 'test'"),
    ],
)
def test_a_wrong_setting_is_named(options, words):
    with pytest.raises(AnalysisError, match=words):
        Settings(**options)


def test_the_table_has_a_row_per_piece_with_the_most_copied_first(result):
    rows = list(csv.DictReader(io.StringIO(report_csv(result))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["piece"] for row in rows[:2]] == ["copy", "new"]
    assert {row["piece"] for row in rows[2:]} == {"silent", "three notes"}
    assert float(rows[0]["overlap"]) == 1.0
    assert rows[0]["overlap_corpus_piece"] == rows[0]["melody_corpus_piece"] == "c4"
    silent = next(row for row in rows if row["piece"] == "silent")
    assert silent["overlap"] == silent["melody_score"] == ""


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x", "\tx", "\rx", '=HYPERLINK("http://x")'])
def test_no_name_becomes_a_formula_of_a_spreadsheet(name):
    corpus = [CorpusItem(name, tune(1)), CorpusItem("b", tune(2))]
    table = report_csv(originality([(name, tune(1))], corpus))
    row = next(csv.DictReader(io.StringIO(table, newline="")))
    assert row["piece"] == row["overlap_corpus_piece"] == row["melody_corpus_piece"] == "'" + name


def test_numbers_below_zero_stay_numbers(result):
    row = next(csv.DictReader(io.StringIO(report_csv(result))))
    assert row["overlap_transposition"] == row["melody_transposition"] == "-3"
