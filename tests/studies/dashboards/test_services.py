"""The worst copies are made audible: both excerpts, once, and whole."""

from studies.catalog.models import Piece, Stimulus
from studies.dashboards.selectors.originality import case_of
from studies.dashboards.services import render_worst_pairs


def test_both_sides_of_the_worst_pairs_can_be_heard_afterwards(rows):
    report = rows.report(names=("copy", "own"))
    said = []
    stimuli = render_worst_pairs(report=report, count=1, progress=lambda *what: said.append(what))
    for measure in ("overlap", "melody"):
        for side in case_of(report, measure, 0).sides:
            assert side.stimulus in stimuli
            start, end = side.audio_span
            assert 0 <= start < end <= side.stimulus.seconds
            assert side.stimulus.mp3_file.stat().st_size > 1000
    assert said[-1][:2] == (4, 4)
    assert not Stimulus.objects.filter(piece__name="own").exists()
    assert render_worst_pairs(report=report, count=1) == stimuli, "a second call makes nothing"
    assert Stimulus.objects.count() == len(stimuli)


def test_an_excerpt_that_cannot_be_played_is_passed_over(rows):
    report = rows.report(names=("copy", "own"))
    Piece.objects.get(name="copy").midi_file.unlink()
    assert render_worst_pairs(report=report, count=1) == []


def test_the_command_on_the_page_makes_the_sound_that_the_page_looks_for(rows, tmp_path):
    from django.core.management import call_command

    report = rows.report(names=("copy", "own"))
    for side in case_of(report, "melody", 0).sides:
        words = side.command.replace("FOLDER", str(tmp_path)).split()
        assert words[:2] == ["python", "manage.py"]
        call_command(*words[2:], verbosity=0)
    assert all(side.stimulus for side in case_of(report, "melody", 0).sides)
