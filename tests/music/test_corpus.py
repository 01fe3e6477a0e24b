import json
from collections import Counter

import pytest

from music import note_table
from music.corpus import create_corpus, group_sha256, notes_sha256, open_corpus
from music.midi import score_to_midi, write_midi
from music.score import Key, Note, Score, ScoreError, Tempo, Track
from music.transform import transpose, with_ticks_per_beat


def tune(number: int, *, ticks_per_beat=480, velocity=80, title="") -> Score:
    """Pieces that share no transposition: each has its own rhythm."""
    notes = tuple(Note(1440 * n + 10 * number * (n % 3), 60 + n % 5, 200, velocity) for n in range(12))
    return with_ticks_per_beat(Score((Track(notes),), 480, keys=(Key(0, 2),), title=title), ticks_per_beat)


@pytest.fixture
def folder(tmp_path):
    """Tunes, three duplicates in other clothes, a transposition, and files that are no pieces."""
    source = tmp_path / "source"
    for n in range(20):
        write_midi(tune(n), source / f"tune{n:02}.mid")
    write_midi(tune(3, ticks_per_beat=960), source / "zz_finer.mid")
    write_midi(tune(4, velocity=20, title="Other"), source / "zz_quiet.mid")
    write_midi(tune(5), source / "deep" / "zz_again.mid")
    write_midi(transpose(tune(6), 3), source / "transposed.mid")
    (source / "broken.mid").write_bytes(score_to_midi(tune(1))[:100])
    (source / "empty.mid").write_bytes(score_to_midi(Score()))
    (source / "junk.xml").write_text("<html/>")
    (source / "readme.txt").write_text("no music")
    return source


def test_counts_add_up_and_each_refusal_has_its_reason(folder, tmp_path):
    calls = []
    report = create_corpus(
        tmp_path / "corpora" / "tunes",
        "tunes",
        [str(folder)],
        license="CC0",
        progress=lambda *args: calls.append(args),
    )
    corpus = report.corpus
    assert report.n_found == 27 == len(corpus.pieces) + len(report.duplicates) + len(report.rejected)
    assert calls[-1][:2] == (27, 27)
    assert sorted(report.duplicates) == [
        ("source/tune05.mid", "zz_again"),
        ("source/zz_finer.mid", "tune03"),
        ("source/zz_quiet.mid", "tune04"),
    ]
    reasons = {entry["file"]: entry["reason"] for entry in report.rejected}
    assert "cut off" in reasons["source/broken.mid"]
    assert "no notes" in reasons["source/empty.mid"]
    assert "score-partwise" in reasons["source/junk.xml"]
    assert corpus.license == "CC0"
    piece = corpus.piece("tune07")
    assert (piece.key, piece.meter, piece.n_notes, piece.source) == (
        "D major",
        "4/4",
        12,
        "source/tune07.mid",
    )


def test_splits_are_tenths_and_keep_transpositions_together(folder, tmp_path):
    corpus = create_corpus(tmp_path / "c", "c", [folder]).corpus
    assert sum(corpus.splits.values()) == 21
    groups = Counter(piece.group for piece in corpus.pieces)
    assert sorted(groups.values()) == [1] * 19 + [2]
    for split in ("validation", "test"):
        assert len({piece.group for piece in corpus.pieces_of(split)}) == 2
    assert corpus.piece("transposed").split == corpus.piece("tune06").split
    assert corpus.piece("transposed").group == corpus.piece("tune06").group


def test_the_same_sources_give_the_same_corpus_also_into_itself(folder, tmp_path):
    first = create_corpus(tmp_path / "a", "a", [folder])
    other = create_corpus(tmp_path / "b", "b", [folder])
    again = create_corpus(tmp_path / "a", "a", [folder])
    assert (
        first.corpus.sha256
        == other.corpus.sha256
        == again.corpus.sha256
        == open_corpus(tmp_path / "a").sha256
    )
    assert (again.n_new, again.n_known) == (0, 21)
    assert again.n_found == again.n_known + len(again.duplicates) + len(again.rejected)
    assert len(again.duplicates) == 3
    assert len(list((tmp_path / "a" / "pieces").iterdir())) == 21


def test_another_seed_splits_otherwise(folder, tmp_path):
    tests = set()
    for seed in range(5):
        corpus = create_corpus(tmp_path / f"c{seed}", "c", [folder], seed=seed).corpus
        tests.add(tuple(piece.name for piece in corpus.pieces_of("test")))
    assert len(tests) > 1


def test_adding_keeps_the_pieces_and_splits_that_are_there(folder, tmp_path):
    corpus = create_corpus(tmp_path / "c", "c", [folder], license="CC0").corpus
    more = tmp_path / "more"
    for n in range(40, 60):
        write_midi(tune(n), more / f"tune{n - 40:02}.mid")
    grown = create_corpus(tmp_path / "c", "c", [more]).corpus
    assert len(grown.pieces) == 41
    assert grown.license == "CC0"
    assert {piece.name: piece.split for piece in corpus.pieces}.items() <= {
        piece.name: piece.split for piece in grown.pieces
    }.items()
    for split in ("validation", "test"):
        assert len({piece.group for piece in grown.pieces_of(split)}) == 4
    assert len({piece.name for piece in grown.pieces}) == 41
    assert grown.piece("tune00-2").source == "more/tune00.mid"
    assert grown.sha256 != corpus.sha256


@pytest.mark.parametrize(("n_pieces", "held_out"), [(1, 0), (2, 0), (3, 1), (14, 1), (25, 2)])
def test_every_corpus_from_three_pieces_on_holds_some_out(tmp_path, n_pieces, held_out):
    for n in range(n_pieces):
        write_midi(tune(n), tmp_path / "in" / f"{n}.mid")
    splits = create_corpus(tmp_path / "c", "c", [tmp_path / "in"]).corpus.splits
    assert splits == {"train": n_pieces - 2 * held_out, "validation": held_out, "test": held_out}


def test_scores_come_back_from_disk_with_their_ticks(folder, tmp_path):
    corpus = create_corpus(tmp_path / "c", "c", [folder]).corpus
    reopened = open_corpus(tmp_path / "c")
    assert reopened.pieces == corpus.pieces
    assert reopened.score("tune07") == tune(7)
    scores = reopened.scores()
    assert len(scores) == 21
    assert sum(score.n_notes for score in scores) == reopened.n_notes
    assert reopened.scores("test") == [reopened.score(piece) for piece in reopened.pieces_of("test")]
    with pytest.raises(ScoreError, match="no split is named 'tests'"):
        reopened.scores("tests")
    with pytest.raises(ScoreError, match="no piece 'tune99'"):
        reopened.score("tune99")


def test_tables_are_those_of_the_scores_however_many_are_read(folder, tmp_path, monkeypatch):
    corpus = create_corpus(tmp_path / "corpora" / "tunes", "tunes", [folder]).corpus
    expected = [tuple(note.onset for note in score.notes()) for score in corpus.scores()]
    for many in (10**9, 1):
        monkeypatch.setattr(note_table, "MANY_FILES", many)
        assert [tuple(table.onsets) for table in corpus.tables(corpus.pieces)] == expected
    (corpus.folder / corpus.pieces[0].file).write_bytes(b"MThd")
    with pytest.raises(ScoreError, match="changed after its import"):
        list(corpus.tables(corpus.pieces))


def test_ticks_that_no_sixteenth_divides_are_made_finer(tmp_path):
    odd = Score((Track((Note(89, 60, 45),)),), ticks_per_beat=89)
    write_midi(odd, tmp_path / "odd.mid")
    (score,) = create_corpus(tmp_path / "c", "c", [tmp_path / "odd.mid"]).corpus.scores()
    assert score == with_ticks_per_beat(odd, 89 * 24)


def test_a_piece_that_was_changed_on_disk_is_noticed(folder, tmp_path):
    corpus = create_corpus(tmp_path / "c", "c", [folder]).corpus
    piece = corpus.pieces[0]
    (tmp_path / "c" / piece.file).write_bytes(score_to_midi(tune(99)))
    with pytest.raises(ScoreError, match="was changed after its import"):
        corpus.score(piece)
    (tmp_path / "c" / piece.file).unlink()
    with pytest.raises(ScoreError, match="is gone"):
        corpus.score(piece)


def test_an_import_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    (tmp_path / "junk.mid").write_text("junk")
    with pytest.raises(ScoreError, match=r"none of the 1 files could be read: .*junk\.mid"):
        create_corpus(tmp_path / "corpora" / "c", "c", [tmp_path / "junk.mid"])
    assert list((tmp_path / "corpora").iterdir()) == []

    def interrupt(*_):
        raise KeyboardInterrupt

    write_midi(tune(1), tmp_path / "good.mid")
    with pytest.raises(KeyboardInterrupt):
        create_corpus(tmp_path / "corpora" / "c", "c", [tmp_path / "good.mid"], progress=interrupt)
    assert list((tmp_path / "corpora").iterdir()) == []


def test_a_folder_with_other_files_is_not_taken_over(folder, tmp_path):
    with pytest.raises(ScoreError, match="holds files but no corpus"):
        create_corpus(folder, "c", [folder])
    with pytest.raises(ScoreError, match="no readable files"):
        create_corpus(tmp_path / "c", "c", [])


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "no manifest"),
        ('{"format": 2}', "is of format 2"),
        ('{"format": 1}', "no manifest"),
    ],
)
def test_a_damaged_manifest_is_refused_in_words(tmp_path, manifest, words):
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(ScoreError, match=words):
        open_corpus(tmp_path)


def test_a_manifest_cannot_name_files_elsewhere(folder, tmp_path):
    create_corpus(tmp_path / "c", "c", [folder])
    path = tmp_path / "c" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["pieces"][0]["file"] = "../../secret.mid"
    path.write_text(json.dumps(manifest))
    with pytest.raises(ScoreError, match="that no import makes"):
        open_corpus(tmp_path / "c")


def test_a_folder_without_manifest_is_no_corpus(tmp_path):
    with pytest.raises(ScoreError, match="there is no corpus in"):
        open_corpus(tmp_path / "nothing")


def test_abc_tunes_and_music21_pieces_make_a_corpus(tmp_path):
    (tmp_path / "tunes.abc").write_text(
        "X:1\nT:One\nK:C\nCDEF\n\nX:2\nT:Two\nK:C\nGABc\n\nX:3\nT:Three\nCDE\n"
    )
    report = create_corpus(tmp_path / "c", "c", [tmp_path / "tunes.abc", "music21:bach/bwv66.6.mxl"])
    assert [piece.name for piece in report.corpus.pieces] == ["bwv66.6", "tunes", "tunes-2"]
    assert [piece.title for piece in report.corpus.pieces][1:] == ["One", "Two"]
    assert report.corpus.piece("bwv66.6").source == "music21:bach/bwv66.6.mxl"
    assert [entry["file"].split("/")[-1] for entry in report.rejected] == ["tunes.abc"]


def test_hashes_see_what_starts_when_and_nothing_else():
    score = tune(2)
    assert notes_sha256(score) == notes_sha256(tune(2, ticks_per_beat=1920, velocity=5, title="x"))
    slower = Score(score.tracks, 480, tempos=(Tempo(0, 700_000),))
    assert notes_sha256(slower) == notes_sha256(score)
    assert notes_sha256(score) != notes_sha256(tune(3))
    assert notes_sha256(transpose(score, 1)) != notes_sha256(score)
    assert group_sha256(transpose(score, 1)) == group_sha256(score)
    drums = Score((Track(score.tracks[0].notes, is_drum=True),))
    assert notes_sha256(drums) != notes_sha256(score)
