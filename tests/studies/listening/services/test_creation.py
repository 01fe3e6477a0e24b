"""From a study file to a study: which pieces, which sounds, which letters."""

import dataclasses
import itertools

import pytest

from music.rendering import RenderingError
from music.score import Score
from studies.catalog.errors import CatalogError
from studies.catalog.models import Origin, OriginalityReport, Piece, Stimulus
from studies.listening import served_audio
from studies.listening.errors import ListeningError, SpecificationError
from studies.listening.models import Study
from studies.listening.services import create_study
from studies.listening.services.creation import counted_tones
from studies.listening.specification import Excerpt
from tests.studies import factories
from tests.studies.factories import begin, make_corpus, make_generation, make_stimulus, specification_text

pytestmark = pytest.mark.django_db

RENDERER = "studies.catalog.services.stimuli.render_stimulus"


@pytest.fixture
def rendered(monkeypatch):
    """Excerpts without synthesis; gives the pieces that were asked for, with how."""
    asked = []

    def render_stimulus(*, piece, seconds, start_seconds, fade_out_ms, pad):
        asked.append({"piece": piece, "start_seconds": start_seconds, "pad": pad, "fade_out_ms": fade_out_ms})
        return make_stimulus(piece, seconds=seconds)

    monkeypatch.setattr(RENDERER, render_stimulus)
    return asked


@pytest.fixture
def catalog(rendered):
    corpus = make_corpus(n_pieces=9)
    make_generation(corpus=corpus, n_pieces=9)
    return corpus


def pieces_of(study, **filters):
    return list(Piece.objects.filter(stimuli__items__study=study, **filters).order_by("pk").distinct())


def test_a_study_has_what_its_file_says(catalog):
    study = create_study(text=specification_text())
    assert study.state == "draft"
    assert study.is_blind
    sizes = {name: study.items.filter(use=name).count() for name in ("main", "practice", "attention")}
    assert sizes == {"main": 11, "practice": 2, "attention": 2}
    per_condition = {c.name: (c.role, c.items.count()) for c in study.conditions.all()}
    assert per_condition == {
        "joplin": ("real", 5),
        "biaxial": ("generated", 5),
        "scrambled": ("low_anchor", 1),
    }
    main = pieces_of(study, stimuli__items__use="main")
    assert {piece.origin_name for piece in main} == {"ragtime", "biaxial-s1-1", "scrambled ragtime"}
    assert study.design["listening"]["must_hear"] == 0.8
    assert study.specification == specification_text()


def test_no_piece_is_used_twice_and_none_is_practised_that_is_rated(catalog):
    study = create_study(text=specification_text(practice=4))
    pieces = [item.stimulus.piece for item in study.items.select_related("stimulus__piece")]
    assert len({piece.sha256 for piece in pieces}) == len(pieces) == 11 + 4 + 2
    originals = {piece.scrambled_from_id for piece in pieces} - {None}
    assert not originals & {piece.pk for piece in pieces}  # scrambled pieces are of pieces that nobody hears


def test_practice_shows_the_low_end_of_the_scale(catalog):
    study = create_study(text=specification_text(practice=2))
    origins = [piece.origin for piece in pieces_of(study, stimuli__items__use="practice")]
    assert len(origins) == 2
    assert origins.count(Origin.SCRAMBLE) == 1


def test_the_same_file_draws_the_same_pieces_and_another_seed_others(catalog):
    one = create_study(text=specification_text("one"))
    two = create_study(text=specification_text("two"))
    other = create_study(text=specification_text("three").replace("seed: 7", "seed: 8"))
    assert pieces_of(one) == pieces_of(two)
    assert pieces_of(one, stimuli__items__use="main") != pieces_of(other, stimuli__items__use="main")


def test_pieces_that_the_sound_alone_tells_apart_are_drawn_again(catalog, monkeypatch):
    """Real pieces of the first draw lie lower than all others: it is not taken, and the study says so."""
    first = create_study(text=specification_text("first", practice=0))
    assert first.selection["draws"] == 1
    low = set(pieces_of(first, stimuli__items__condition__role="real"))
    low = {str(stimulus.mp3_file) for piece in low for stimulus in piece.stimuli.all()}
    measure = served_audio.measure

    def told(path):
        return dataclasses.replace(measure(path), bandwidth_hz=1000.0 if str(path) in low else 5000.0)

    monkeypatch.setattr(served_audio, "measure", told)
    again = create_study(text=specification_text("again", practice=0))
    assert again.selection["draws"] > 1
    real = pieces_of(again, stimuli__items__condition__role="real")
    assert {str(stimulus.mp3_file) for piece in real for stimulus in piece.stimuli.all()} - low
    text = specification_text("once", practice=0).replace("seed: 7", "seed: 7, draws: 1")
    assert create_study(text=text).selection["draws"] == 1


def test_what_no_draw_mends_is_drawn_as_often_as_the_file_allows(catalog, monkeypatch):
    measure = served_audio.measure

    def told(path):
        name = Stimulus.objects.get(mp3_path__endswith=path.name).piece.origin
        return dataclasses.replace(measure(path), peak_db=-3.0 if name == Origin.CORPUS else -9.0)

    monkeypatch.setattr(served_audio, "measure", told)
    text = specification_text().replace("seed: 7", "seed: 7, draws: 4")
    assert create_study(text=text).selection["draws"] == 4


def test_the_same_file_again_gives_the_study_that_is_there(catalog, rendered):
    first = create_study(text=specification_text())
    n_rendered = len(rendered)
    assert create_study(text=specification_text()).pk == first.pk
    assert len(rendered) == n_rendered


def test_a_changed_file_replaces_a_draft_that_nobody_heard(catalog):
    create_study(text=specification_text())
    changed = create_study(text=specification_text(trials=6))
    assert Study.objects.count() == 1
    assert changed.design["session"]["trials"] == 6


def test_a_changed_file_never_replaces_a_study_with_listeners(catalog):
    study = create_study(text=specification_text())
    Study.objects.update(state="open")
    begin(Study.objects.get())
    with pytest.raises(SpecificationError, match="slug: got 'short-piano-pieces', which belongs to a study"):
        create_study(text=specification_text(trials=6))
    assert Study.objects.get().pk == study.pk


def test_letters_and_labels_say_nothing(catalog):
    """Dealt anew each time: who knows the file cannot work them out."""
    dealt = set()
    for number in range(12):
        study = create_study(text=specification_text(f"study-{number}"))
        dealt.add(tuple(study.conditions.order_by("name").values_list("letter", flat=True)))
        labels = list(study.items.values_list("label", flat=True))
        assert len(set(labels)) == len(labels)
        in_order = study.items.filter(use="main").order_by("pk").values_list("condition__role", flat=True)
        groups = [role for role, _ in itertools.groupby(in_order)]
        assert len(groups) > 3 or number  # rows are mixed, not condition by condition
    assert {frozenset(letters) for letters in dealt} == {frozenset("ABC")}
    assert len(dealt) > 1


def test_attention_checks_are_tones_to_count(catalog, rendered):
    study = create_study(text=specification_text(checks=3))
    checks = study.items.filter(use="attention")
    numbers = sorted(checks.values_list("requested_value", flat=True))
    assert len(set(numbers)) == 3
    assert all(3 <= number <= 9 for number in numbers)
    for item in checks:
        assert item.stimulus.piece.n_notes == item.requested_value
    padded = [asked for asked in rendered if asked["pad"]]
    assert {asked["piece"].collection for asked in padded} == {"attention-checks"}
    assert {asked["start_seconds"] for asked in rendered if not asked["pad"]} == {None}


@pytest.mark.parametrize("seconds", [5, 20, 120])
@pytest.mark.parametrize("n_tones", [3, 9])
def test_tones_are_equal_apart_and_inside_the_excerpt(n_tones, seconds):
    score = counted_tones(n_tones, Excerpt(seconds=seconds))
    assert isinstance(score, Score)
    notes = score.tracks[0].notes
    assert len({(note.pitch, note.duration, note.velocity) for note in notes}) == 1
    assert len(notes) == n_tones
    assert all(a.end < b.onset for a, b in itertools.pairwise(notes))
    assert score.duration_seconds < seconds - 0.9  # before the fade-out


# What cannot be drawn


def test_too_few_pieces_are_counted_with_their_reasons(catalog):
    Piece.objects.filter(name="biaxial_opus_0").update(seconds=2)
    make_report({"biaxial_opus_1": 0.95, "biaxial_opus_2": 0.81, "biaxial_opus_3": 0.8})
    with pytest.raises(ListeningError) as refusal:
        create_study(text=specification_text(pieces=8))
    text = str(refusal.value)
    assert "conditions[1].pieces: got 8, but model 'biaxial' has 6 to draw from" in text
    assert "9 in all, 1 shorter than the excerpt, 2 above selection.max_overlap 0.8" in text
    assert "generate biaxial --count N" in text
    assert not Study.objects.exists()


def make_report(overlaps):
    generation = Piece.objects.get(name="biaxial_opus_0").generation
    rows = [
        {"piece": f"{generation.name}/{name}", "overlap": {"score": score}}
        for name, score in overlaps.items()
    ]
    corpus = generation.model.corpus
    OriginalityReport.objects.create(
        subject="biaxial",
        generation=generation,
        corpus=corpus,
        corpus_sha256="0" * 64,
        result={"pieces": rows},
    )


def test_copied_pieces_are_never_drawn(catalog):
    make_report({f"biaxial_opus_{number}": 0.9 for number in range(4)})
    make_report({"biaxial_opus_0": 0.1})  # a milder report on it does not help
    study = create_study(text=specification_text())
    drawn = {piece.name for piece in pieces_of(study, generation__isnull=False)}
    assert not drawn & {f"biaxial_opus_{number}" for number in range(4)}
    assert study.selection["pools"]["biaxial"]["copied"] == 4


def test_a_piece_that_cannot_be_rendered_is_replaced_by_another(catalog, monkeypatch):
    refused = []

    def render_stimulus(*, piece, seconds, **options):
        origin = piece.scrambled_from or piece
        if origin.name.endswith(("_0", "_3")):
            refused.append(piece.name)
            raise RenderingError("the piece sounds silent")
        return make_stimulus(piece, seconds=seconds)

    monkeypatch.setattr(RENDERER, render_stimulus)
    study = create_study(text=specification_text())
    assert refused
    assert study.items.count() == 15
    assert not {piece.name[-2:] for piece in pieces_of(study, origin__in=["corpus", "generation"])} & {
        "_0",
        "_3",
    }


def test_pieces_that_all_fail_end_in_one_error(catalog, monkeypatch):
    def render_stimulus(**options):
        raise RenderingError("the synthesiser is missing")

    monkeypatch.setattr(RENDERER, render_stimulus)
    with pytest.raises(ListeningError):
        create_study(text=specification_text())
    assert not Study.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("corpus: ragtime", "corpus: ragtme", "did you mean ragtime"),
        ("model: biaxial", "model: bixial", "did you mean biaxial"),
        ("model: biaxial", "generation: biaxial-s9", "did you mean biaxial-s1-1"),
        ("model: biaxial", "pieces: nobody", "import_pieces"),
        ("split: test", "split: train", "0 to draw from"),
    ],
)
def test_a_source_that_is_not_there_is_named(catalog, old, new, word):
    with pytest.raises((ListeningError, CatalogError), match=word):
        create_study(text=specification_text().replace(old, new))


def test_too_few_pieces_for_practice_are_refused(rendered):
    corpus = make_corpus(n_pieces=5)
    make_generation(corpus=corpus, n_pieces=5)
    text = specification_text(practice=3)
    with pytest.raises(ListeningError, match=r"session\.practice: got 3"):
        create_study(text=text)


def test_pieces_chosen_by_hand_are_those_that_were_named(catalog):
    text = specification_text(pieces=2, trials=5).replace("{seed: 7}", "{method: by_hand}")
    text = text.replace(
        "split: test}, pieces: 2", "split: test}, pieces: 2, names: [ragtime_rag_3, ragtime_rag_1]"
    )
    text = text.replace(
        "model: biaxial}, pieces: 2", "model: biaxial}, pieces: 2, names: [biaxial_opus_2, biaxial_opus_5]"
    )
    study = create_study(text=text)
    names = {piece.name for piece in pieces_of(study, stimuli__items__use="main", scrambled_from=None)}
    assert names == {"ragtime_rag_1", "ragtime_rag_3", "biaxial_opus_2", "biaxial_opus_5"}
    assert study.selection["method"] == "by_hand"
    with pytest.raises(ListeningError, match="'nothing' fits 0 pieces"):
        create_study(
            text=text.replace("ragtime_rag_3", "nothing").replace("slug: short", "slug: other-short")
        )


def test_more_attention_checks_than_can_be_counted_are_refused(catalog):
    text = specification_text(checks=6).replace("{seconds: 5}", "{seconds: 5, fade_out_ms: 3000}")
    with pytest.raises(ListeningError, match="only 2 different numbers of tones can be counted in 5 s"):
        create_study(text=text)


def test_progress_ends_with_the_work(catalog):
    calls = []
    create_study(text=specification_text(), progress=lambda *call: calls.append(call))
    assert calls[0] == (0, 15, "rendering")
    assert calls[-1] == (15, 15, "rendered")


def test_factories_and_files_agree_on_the_design():
    text = specification_text("agreed")
    study = factories.make_study("agreed")
    assert study.specification == text
