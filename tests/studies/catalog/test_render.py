"""Stimuli and ``render``: made once, equal in form, under names that tell nothing; scrambled pieces."""

import io
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from music.midi import write_midi
from music.rendering import RenderingError
from music.score import Note, Score, Track
from studies.catalog.errors import CatalogError
from studies.catalog.models import Origin, Piece, Stimulus
from studies.catalog.selectors import pieces_of_corpus, provenance_of, score_of, stimuli_of
from studies.catalog.services import import_pieces, import_score, render_stimulus, scramble_piece
from studies.catalog.services.stimuli import start_of
from tests.studies.catalog.material import melody, run_command, run_json, write_scores

pytestmark = pytest.mark.django_db

#: The engine that every machine has: it comes with the Python packages.
SMALL = {"seconds": 2.0, "engine": "symusic"}


@pytest.fixture
def piece(corpus):
    return pieces_of_corpus("walks").first()


def test_a_stimulus_is_made_once(piece):
    first = render_stimulus(piece=piece, **SMALL)
    again = render_stimulus(piece=piece, **SMALL)
    assert first == again
    assert Stimulus.objects.count() == 1
    assert list(stimuli_of(piece)) == [first]
    assert first.seconds == 2.0
    assert first.loudness_lufs == pytest.approx(-23, abs=0.1)
    assert first.true_peak_dbtp <= -1
    assert first.mp3_bytes == first.mp3_file.stat().st_size


def test_another_recipe_is_another_stimulus(piece):
    kinds = [{}, {"seconds": 3.0}, {"fade_out_ms": 500}, {"start_seconds": 4.0}]
    made = {render_stimulus(piece=piece, **{**SMALL, "start_seconds": 0.0, **kind}).pk for kind in kinds}
    assert len(made) == 4


def test_the_same_start_said_in_other_words_is_the_same_stimulus(piece):
    """Excerpts start at bars: second 3.9 and second 4.0 are one bar of a piece with bars of two seconds."""
    stimuli = {render_stimulus(piece=piece, start_seconds=start, **SMALL) for start in (3.9, 4.0, 4.3)}
    assert {stimulus.start_seconds for stimulus in stimuli} == {4.0}
    assert len(stimuli) == 1


def test_files_that_were_deleted_come_back_as_they_were(piece):
    stimulus = render_stimulus(piece=piece, **SMALL)
    before = stimulus.mp3_file.read_bytes(), stimulus.flac_file.read_bytes()
    stimulus.mp3_file.unlink()
    assert render_stimulus(piece=piece, **SMALL) == stimulus
    assert (stimulus.mp3_file.read_bytes(), stimulus.flac_file.read_bytes()) == before


def test_names_and_files_tell_nothing_of_the_piece(corpus, home):
    real, scrambled = piece_and_scrambled()
    stimuli = [render_stimulus(piece=piece, **SMALL) for piece in (real, scrambled)]
    assert len({stimulus.mp3_bytes for stimulus in stimuli}) == 1
    for stimulus in stimuli:
        for path in (stimulus.mp3_path, stimulus.flac_path):
            assert not Path(path).is_absolute()
            for word in (
                "walks",
                "piece",
                "scramble",
                str(stimulus.piece.public_id),
                stimulus.piece.sha256[:8],
            ):
                assert word not in path
            assert (home / path).stat().st_mtime == 946_684_800
        assert not mutagen.File(stimulus.mp3_file).tags
        assert len(stimulus.mp3_file.stem) == 32


def piece_and_scrambled():
    piece = pieces_of_corpus("walks").first()
    return piece, scramble_piece(piece=piece, seed=3)


def test_a_stimulus_knows_what_made_it(piece):
    facts = render_stimulus(piece=piece, **SMALL).facts
    assert facts["engine"] == facts["recipe"]["engine"] == "symusic"
    assert facts["soundfont_sha256"] == facts["recipe"]["soundfont_sha256"]
    assert len(facts["soundfont_sha256"]) == 64
    assert facts["recipe"]["piece"] == str(piece.public_id)


def test_a_rule_picks_the_start_and_another_seed_another(corpus):
    pieces = list(pieces_of_corpus("walks"))
    starts = [start_of(score_of(piece), 2.0, f"0:{piece.sha256}") for piece in pieces]
    assert len(set(starts)) > 1
    assert all(start % 2 == 0 for start in starts)  # bars of two seconds
    assert starts != [start_of(score_of(piece), 2.0, f"1:{piece.sha256}") for piece in pieces]
    assert render_stimulus(piece=pieces[0], **SMALL).start_seconds == starts[0]


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    onsets=st.lists(st.integers(0, 40_000), min_size=1, max_size=20),
    seconds=st.floats(1, 40),
    rule=st.text(max_size=5),
)
def test_a_start_is_a_bar_with_an_onset_and_leaves_room_if_any_does(onsets, seconds, rule):
    score = Score((Track(tuple(Note(onset, 60, 480) for onset in set(onsets))),))
    start = start_of(score, seconds, rule)
    bars = {score.tick_to_seconds(tick) for tick in score.bar_starts()}
    ends = {bar: bar + 2.0 for bar in bars}
    sounding = {bar for bar in bars if any(bar <= score.tick_to_seconds(each) < ends[bar] for each in onsets)}
    fitting = {bar for bar in sounding if score.duration_seconds - bar >= seconds}
    assert start in (fitting or {min(sounding)})


def test_a_piece_that_is_too_short_is_refused_or_padded(corpus, tmp_path):
    piece = import_score(score=melody(1, n_notes=8), name="short", collection="checks")
    with pytest.raises(RenderingError, match=r"the piece lasts 2\.0 seconds from second 0\.0 on, too short"):
        render_stimulus(piece=piece, seconds=10, engine="symusic")
    assert render_stimulus(piece=piece, seconds=10, engine="symusic", pad=True).seconds == 10


def test_a_piece_without_notes_is_refused(corpus):
    piece = import_score(score=Score((Track(),)), name="silence", collection="checks")
    with pytest.raises(RenderingError, match="the piece has no notes to play"):
        render_stimulus(piece=piece, **SMALL)
    assert not Stimulus.objects.exists()


def test_a_recording_gets_the_form_of_all(tmp_path):
    time = np.arange(6 * 22_050) / 22_050
    soundfile.write(tmp_path / "take.wav", 0.9 * np.sin(2 * np.pi * 330 * time), 22_050)
    import_pieces(condition="theirs", sources=[str(tmp_path)])
    piece = Piece.objects.get()
    stimulus = render_stimulus(piece=piece, **SMALL)
    assert (stimulus.engine, stimulus.seconds) == ("recording", 2.0)
    assert stimulus.loudness_lufs == pytest.approx(-23, abs=0.1)
    assert stimulus.start_seconds in (0.0, 1.0, 2.0, 3.0, 4.0)
    assert soundfile.info(stimulus.mp3_file).channels == 2
    assert render_stimulus(piece=piece, start_seconds=3.0, **SMALL).start_seconds == 3.0
    piece.audio_file.unlink()
    with pytest.raises(CatalogError, match=r"the recording of theirs/take is gone"):
        render_stimulus(piece=piece, **SMALL)


def test_scrambling_keeps_the_rhythm_and_is_done_once(piece):
    scrambled = scramble_piece(piece=piece, seed=3)
    assert scramble_piece(piece=piece, seed=3) == scrambled
    assert scramble_piece(piece=piece, seed=4) != scrambled
    assert (scrambled.origin, scrambled.scrambled_from, scrambled.seed) == (Origin.SCRAMBLE, piece, 3)
    before, after = score_of(piece), score_of(scrambled)
    for old, new in zip(before.tracks, after.tracks, strict=True):
        assert sorted((note.onset, note.duration) for note in old.notes) == sorted(
            (note.onset, note.duration) for note in new.notes
        )
        assert sorted(note.pitch for note in old.notes) == sorted(note.pitch for note in new.notes)
    assert before != after
    told = dict(provenance_of(scrambled))
    assert told["scrambled with seed"] == "3"
    assert told["scrambled piece: corpus"] == "walks"


def test_the_command_writes_what_a_listener_hears(corpus, piece, tmp_path):
    document = run_json(
        "render", "walks/piece0", "--out", tmp_path / "o", "--seconds", 2, "--engine", "symusic"
    )
    (told,) = document["files"]
    stimulus = Stimulus.objects.get()
    assert told["piece"] == "walks/piece0"
    assert Path(told["mp3"]) == tmp_path / "o" / "walks-piece0.mp3"
    assert Path(told["mp3"]).read_bytes() == stimulus.mp3_file.read_bytes()
    assert Path(told["flac"]).read_bytes() == stimulus.flac_file.read_bytes()


def test_the_command_takes_files_folders_and_names(tmp_path):
    folder = write_scores(tmp_path / "two", (1, 2))
    import_pieces(condition="theirs", sources=[str(folder / "piece1.mid")])
    options = ["--out", tmp_path / "o", "--seconds", 2, "--engine", "symusic"]
    document = run_json("render", folder, folder / "piece2.mid", "theirs", *options)
    assert [Path(each["piece"]).name for each in document["files"]] == [
        "piece1.mid",
        "piece2.mid",
        "piece2.mid",
        "piece1",
    ]
    assert [Path(each["mp3"]).name for each in document["files"]] == [
        "piece1.mp3",
        "piece2.mp3",
        "piece2-2.mp3",
        "theirs-piece1.mp3",
    ]
    # Equal notes, equal sound; and files leave nothing in the catalog.
    assert len({Path(each["flac"]).read_bytes() for each in document["files"]}) == 2
    assert Stimulus.objects.count() == 1


def test_a_dot_in_a_name_is_kept(tmp_path):
    import_score(score=melody(1), name="bwv2.6", collection="theirs")
    import_score(score=melody(2), name="bwv2.8", collection="theirs")
    options = ["--out", tmp_path, "--seconds", 2, "--engine", "symusic", "--start", 0]
    names = [Path(each["mp3"]).name for each in run_json("render", "theirs", *options)["files"]]
    assert names == ["theirs-bwv2.6.mp3", "theirs-bwv2.8.mp3"]


def test_a_piece_that_cannot_be_rendered_is_an_error_after_the_others(tmp_path):
    folder = write_scores(tmp_path / "two", (1, 2))
    write_midi(melody(3, n_notes=8), folder / "short.mid")
    with pytest.raises(
        CommandError, match=r"1 of 3 pieces could not be rendered; the first, .*short\.mid: .*too short"
    ):
        run_command("render", folder, "--out", tmp_path / "o", "--seconds", 9, "--engine", "symusic")
    assert len(list((tmp_path / "o").glob("*.mp3"))) == 2


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nothing", [], "'nothing' names no piece; write ORIGIN/NAME or the piece's id"),
        ("walks/piece9", [], "'walks/piece9' names no piece"),
        ("walks/piece0", ["--seconds", "0"], "an excerpt lasts 1 to 3600 seconds, got 0"),
        ("walks/piece0", ["--seconds", "nan"], "an excerpt lasts 1 to 3600 seconds, got nan"),
        (
            "walks/piece0",
            ["--start", "400"],
            "an excerpt cannot start at second 400: the piece lasts 16.0 seconds",
        ),
        ("walks/piece0", ["--start", "nan"], "an excerpt starts at a second from 0 on, got nan"),
        ("walks/piece0", ["--start", "-1"], "an excerpt starts at a second from 0 on, got -1"),
        ("walks/piece0", ["--fade-out-ms", "90000"], "fades of 20 and 90000 ms do not fit"),
        ("walks/piece0", ["--engine", "abacus"], "no engine is named 'abacus'"),
        ("walks/piece0", ["--out", "{file}"], "cannot make the folder"),
        ("walks/piece0", ["--seed", "-1"], "seed must be a whole number from 0 to"),
        ("{noise}", [], "no MThd header"),
        ("{empty}", [], "holds no MIDI, score or audio file"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(source, options, message, corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "noise.mid").write_bytes(b"no music")
    places = {name: tmp_path / name for name in ("empty", "file")} | {"noise": tmp_path / "noise.mid"}
    (tmp_path / "file").write_text("no folder")
    arguments = [source, "--out", str(tmp_path / "o"), *options]
    with pytest.raises(CommandError) as error:
        run_command("render", *(each.format(**places) for each in arguments))
    assert message in str(error.value)
    assert not Stimulus.objects.exists()


def test_a_name_that_is_a_file_too_is_refused(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "walks").mkdir()
    with pytest.raises(
        CommandError, match=r"'walks' is a name in the catalog and a file here; write \./walks"
    ):
        run_command("render", "walks", "--out", tmp_path / "o")


@pytest.mark.parametrize(
    "options",
    [
        ["--engine", "foo"],
        ["--seconds", "-4"],
        ["--seconds", "nan"],
        ["--start", "-1"],
        ["--fade-out-ms", "-1"],
    ],
)
def test_an_option_that_suits_no_piece_is_refused_once_and_before_anything(options, corpus, tmp_path):
    said = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command("render", "walks", "--out", str(tmp_path / "out"), *options, stdout=said, stderr=said)
    assert "nothing was rendered" not in str(error.value)
    assert said.getvalue() == ""
    assert not (tmp_path / "out").exists()
