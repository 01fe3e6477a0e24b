"""What keeps a study from opening: its design, its sounds, its pages. Each leak that is planted is found."""

from dataclasses import replace

import pytest

from studies.listening import assignment, audio, served_audio
from studies.listening.models import Condition, Item, Participant, Session, Study
from studies.listening.services import check_study
from studies.listening.services.audit import audit_blindness, secrets_of
from tests.studies.factories import make_study, sound_bytes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def measured_once(monkeypatch):
    """Equal bytes are measured once: these tests share few sounds."""
    measure = served_audio.measure

    def remembered(path):
        data = path.read_bytes()
        if data not in MEASURED:
            MEASURED[data] = measure(path)
        return MEASURED[data]

    monkeypatch.setattr(served_audio, "measure", remembered)


MEASURED = {}


@pytest.fixture
def no_audit(monkeypatch):
    """Without the walk through the pages, which other tests are about."""

    class Nothing:
        problems, warnings, facts = [], [], {}

    monkeypatch.setattr("studies.listening.services.checks.audit_blindness", lambda study: Nothing)


@pytest.fixture
def study():
    return make_study(state="draft")


SMALL = {"pieces": 2, "trials": 5, "repeats": 1, "practice": 1, "checks": 1}


@pytest.fixture
def small():
    """As little as an audit needs: two pieces of each kind."""
    return make_study(state="draft", **SMALL)


def put_sound(item, data, **columns):
    """Give an item another sound, as if it had been rendered so."""
    import hashlib

    item.stimulus.mp3_file.write_bytes(data)
    stimulus = item.stimulus
    stimulus.mp3_sha256 = hashlib.sha256(data).hexdigest()
    for name, value in columns.items():
        setattr(stimulus, name, value)
    stimulus.save()


# Design and sounds


def test_a_good_study_has_no_problem_and_no_warning(study):
    check = check_study(study=study)
    assert (check.problems, check.warnings) == ([], [])
    assert check.facts["pieces"] == 11
    assert check.facts["sounds"]["n"] == 15
    assert check.facts["audit"]["complete"]


@pytest.mark.usefixtures("no_audit")
class TestSounds:
    def test_another_length_is_a_problem(self, study):
        put_sound(study.items.first(), sound_bytes(1, 5.5))
        problems = check_study(study=study).problems
        assert any("differ by 0.5 s in length" in problem for problem in problems)
        assert any("bytes" in problem for problem in problems)

    def test_another_loudness_is_a_problem(self, study):
        item = study.items.first()
        put_sound(item, sound_bytes(1, loudness=-20.0))
        assert any(f"{item.label} has -20." in problem for problem in check_study(study=study).problems)

    def test_a_peak_that_players_clip_is_a_problem(self, study):
        item = study.items.first()
        put_sound(item, sound_bytes(1), true_peak_dbtp=0.2)
        assert any("peaks at 0.2 dBTP" in problem for problem in check_study(study=study).problems)

    def test_a_sound_that_is_gone_or_altered_is_a_problem(self, study):
        first, second, third = study.items.all()[:3]
        first.stimulus.mp3_file.unlink()
        second.stimulus.mp3_file.write_bytes(sound_bytes(99))
        third.stimulus.mp3_file.write_bytes(b"broken")
        problems = check_study(study=study).problems
        assert any(f"{first.label} cannot be read: No such file" in problem for problem in problems)
        assert any(f"{second.label} is not the one that was rendered" in problem for problem in problems)
        assert any(f"{third.label} cannot be read" in problem for problem in problems)

    def test_silence_before_every_generated_piece_is_a_problem(self, study):
        for item in study.items.filter(condition__role="generated"):
            put_sound(item, sound_bytes(item.pk % 6, lead=0.4))
        problems = check_study(study=study).problems
        assert any("leading silence seconds tells real from generated (AUC 0.00" in p for p in problems)

    def test_silence_before_every_generated_piece_is_a_problem_however_few_there_are(self, small):
        for item in small.items.filter(condition__role="generated"):
            put_sound(item, sound_bytes(item.pk % 6, lead=0.4))
        check = check_study(study=small)
        assert any("leading silence seconds separates every real piece" in p for p in check.problems)
        assert any("the least possible p is 0.33" in warning for warning in check.warnings)

    @pytest.mark.parametrize(
        ("feature", "values"), [("peak_db", (-9.0, -15.0)), ("bandwidth_hz", (2000.0, 9000.0))]
    )
    def test_what_the_music_itself_gives_away_is_a_problem_too(self, study, monkeypatch, feature, values):
        by_path = {
            item.stimulus.mp3_file: value
            for role, value in zip(("real", "generated"), values, strict=True)
            for item in study.items.filter(condition__role=role)
        }
        measure = served_audio.measure

        def told(path):
            found = measure(path)
            return replace(found, **{feature: by_path.get(path, getattr(found, feature))})

        monkeypatch.setattr(served_audio, "measure", told)
        problems = check_study(study=study).problems
        assert any(p.startswith(feature.replace("_", " ")) for p in problems)

    def test_recordings_beside_rendered_pieces_are_a_problem(self, study):
        for item in study.items.filter(condition__role="real"):
            put_sound(item, item.stimulus.mp3_file.read_bytes(), engine="recording")
        assert any("2 sound sources, of which recording" in p for p in check_study(study=study).problems)

    def test_two_soundfonts_are_a_problem_and_one_is_none(self, study):
        for item in study.items.all():
            put_sound(item, item.stimulus.mp3_file.read_bytes(), facts={"soundfont_sha256": "one"})
        assert check_study(study=study).problems == []
        item = study.items.filter(use="main").first()
        put_sound(item, item.stimulus.mp3_file.read_bytes(), facts={"soundfont_sha256": "two"})
        problems = check_study(study=study).problems
        assert any("chord two plays only " + item.label in problem for problem in problems)

    def test_another_sample_rate_is_a_problem(self, study, monkeypatch):
        odd, measure = study.items.first().stimulus.mp3_file, served_audio.measure

        def one_differs(path):
            return replace(measure(path), sample_rate_hz=48_000 if path == odd else 44_100)

        monkeypatch.setattr(served_audio, "measure", one_differs)
        assert any("Hz in sample rate" in problem for problem in check_study(study=study).problems)

    def test_silence_before_pieces_of_both_kinds_is_none(self, study):
        for item in list(study.items.filter(use="main"))[::2]:
            put_sound(item, sound_bytes(item.pk % 6, lead=0.4))
        assert check_study(study=study).problems == []


@pytest.mark.usefixtures("no_audit")
class TestDesign:
    def test_a_condition_without_pieces_is_a_problem(self, study):
        study.items.filter(condition__name="biaxial").delete()
        letter = study.conditions.get(name="biaxial").letter
        assert f"condition {letter} has no piece; create the study again" in check_study(study=study).problems

    def test_missing_practice_and_checks_are_problems(self, study):
        study.items.exclude(use="main").delete()
        text = " ".join(check_study(study=study).problems)
        assert "session.practice is 2, but 0 are made" in text
        assert "session.attention_checks is 2, but 0 are made" in text

    def test_a_study_of_nothing_is_a_problem_and_no_crash(self, study):
        study.items.all().delete()
        assert "there is no piece to rate" in check_study(study=study).problems[0]

    def test_mixed_listeners_are_a_problem(self, study):
        Participant.objects.create(study=study, is_simulated=True)
        assert any("are mixed" in problem for problem in check_study(study=study).problems)

    @pytest.mark.parametrize(
        ("sizes", "words"),
        [
            ({"pieces": 2, "trials": 5}, "condition 'joplin' has 2 pieces"),
            ({"trials": 60}, "every listener hears all 11"),
            ({"practice": 0}, "no practice"),
            ({"repeats": 1}, "session.repeats is 1"),
            ({"checks": 1}, "session.attention_checks is 1"),
        ],
        ids=str,
    )
    def test_what_weakens_a_study_is_a_warning(self, sizes, words):
        check = check_study(study=make_study(state="draft", **sizes))
        assert check.problems == []
        assert any(words in warning for warning in check.warnings), check.warnings

    def test_missing_roles_are_warnings(self, study):
        Condition.objects.filter(study=study).update(role="generated")
        warnings = " ".join(check_study(study=study).warnings)
        assert "no real music" in warnings
        assert "no low anchor" in warnings

    def test_pieces_without_an_originality_report_are_a_warning(self, study):
        study.selection = {"pools": {"biaxial": {"searched": 2, "from": 8, "copied": 1}}}
        study.save()
        assert any("2 of 9 pieces have an originality report" in w for w in check_study(study=study).warnings)


# Order


@pytest.mark.usefixtures("no_audit")
class TestOrder:
    @pytest.mark.parametrize("sizes", [{}, {"trials": 9}, {"pieces": 2, "trials": 5}], ids=str)
    def test_orders_as_they_are_drawn_tell_nothing(self, sizes):
        check = check_study(study=make_study(state="draft", **sizes))
        assert not [problem for problem in check.problems if "the order" in problem]
        assert len(check.facts["order"]["guesses"]) == 2

    def test_roles_that_alternate_are_a_problem(self, study, monkeypatch):
        self.plant(
            monkeypatch, lambda real, made, rng: [p for pair in zip(real, made, strict=True) for p in pair]
        )
        problems = check_study(study=study).problems
        assert any("by not what the piece before was it is 1.00" in problem for problem in problems)

    def test_roles_that_keep_together_are_a_problem(self, study, monkeypatch):
        def halves(real, made, rng):
            return [p for part in rng.sample([real, made], 2) for p in part]

        self.plant(monkeypatch, halves)
        problems = check_study(study=study).problems
        assert any("by not what the piece before was it is 0.11" in problem for problem in problems)
        assert not any("by the place in the row" in problem for problem in problems)

    def test_real_pieces_that_come_late_are_a_problem(self, study, monkeypatch):
        self.plant(monkeypatch, lambda real, made, rng: [*rng.sample(real[:3] + made, 8), *real[3:]])
        problems = check_study(study=study).problems
        assert any("by the place in the row" in problem for problem in problems)

    @staticmethod
    def plant(monkeypatch, order):
        def draw(plan, history, rng):
            real = [piece.item for piece in plan.pieces if piece.role == "real"]
            made = [piece.item for piece in plan.pieces if piece.role == "generated"]
            row = order(rng.sample(real, 5), rng.sample(made, 5), rng)
            return [assignment.Placed(item, assignment.MAIN) for item in row], None

        monkeypatch.setattr(assignment, "draw", draw)


# The walk through the pages


def test_the_audit_leaves_no_trace(small):
    audit = audit_blindness(study=small)
    assert audit.problems == []
    assert audit.facts["complete"]
    assert audit.facts["sounds"] >= 8 + 5
    assert not Session.objects.exists()
    assert not Participant.objects.exists()
    small.refresh_from_db()
    assert small.state == Study.State.DRAFT
    assert max(small.items.values_list("pk", flat=True)) < 10**6


def test_the_audit_knows_what_to_look_for(study):
    known = {secret.text for secret in secrets_of(study)}
    assert {"joplin", "biaxial", "scrambled", "low_anchor", "ragtime", "biaxial-s1-1"} <= known
    item = study.items.filter(use="main").first()
    assert {
        item.label,
        item.stimulus.piece.name,
        item.stimulus.mp3_file.stem,
        item.stimulus.mp3_sha256,
    } <= known


PLANTED = {
    "name of a condition": lambda trial: trial.item.condition and trial.item.condition.name,
    "name of a piece": lambda trial: trial.item.stimulus.piece.name,
    "origin of a piece": lambda trial: trial.item.stimulus.piece.origin_name,
    "storage name": lambda trial: trial.item.stimulus.mp3_path,
    "row number": lambda trial: trial.item_id,
    "seed of the order": lambda trial: trial.session.seed,
    "label of a piece": lambda trial: trial.item.label,
    "hash": lambda trial: trial.item.stimulus.mp3_sha256,
    "kind of a trial": lambda trial: trial.kind,
    "role": lambda trial: trial.item.condition and trial.item.condition.role,
}


def test_whatever_a_page_gives_away_is_found(small, monkeypatch):
    """Each trial's page carries all of it in an address, as careless code would hand it to the template."""
    from studies.listening import pages

    address_of = pages.addresses_of

    def careless(trial):
        address = address_of(trial)
        secrets = "&".join(str(planted(trial)) for planted in PLANTED.values())
        return {**address, "skip_url": f"{address['skip_url']}?{secrets}"}

    monkeypatch.setattr(pages, "addresses_of", careless)
    problems = audit_blindness(study=small).problems
    for what in PLANTED:
        assert any(f"the {what} " in problem for problem in problems), what


@pytest.mark.parametrize("plant", ["trial", "session", "participant"])
def test_a_row_number_of_the_listener_is_found(small, monkeypatch, plant):
    from studies.listening import pages

    page_of = pages.background_page
    numbers = {
        "trial": lambda session: session.trials.first().pk,
        "session": lambda session: session.pk,
        "participant": lambda session: session.participant_id,
    }

    def careless(session):
        import dataclasses

        page = page_of(session)
        return dataclasses.replace(page, answer_url=f"{page.answer_url}?n={numbers[plant](session)}")

    monkeypatch.setattr(pages, "background_page", careless)
    assert any("the row number " in problem for problem in audit_blindness(study=small).problems)


def test_a_sound_whose_headers_name_the_file_is_found(small, monkeypatch):
    response_of = audio.audio_response

    def careless(request, file):
        response = response_of(request, file)
        response["ETag"] = '"abc"'
        return response

    monkeypatch.setattr(audio, "audio_response", careless)
    assert any("has the header etag" in problem for problem in audit_blindness(study=small).problems)


def test_pages_that_differ_by_role_are_found(small, monkeypatch):
    from studies.listening import pages

    page_of = pages.trial_page

    def careless(trial):
        import dataclasses

        page = page_of(trial)
        is_real = trial.item.condition and trial.item.condition.role == "real"
        return dataclasses.replace(page, question="How good is this?" if is_real else page.question)

    monkeypatch.setattr(pages, "trial_page", careless)
    problems = audit_blindness(study=small).problems
    assert any("stands only with pieces of one role" in problem for problem in problems), problems


def test_a_sound_for_whoever_knows_its_address_is_found(small, monkeypatch):
    from studies.listening import views

    one = {}
    session_of = views.session_of

    def careless(request, study):
        own = session_of(request, study)
        one["session"] = own or one.get("session")
        if own is None and one["session"] and "sound" in request.path:
            one["session"].refresh_from_db()
            return one["session"]
        return own

    monkeypatch.setattr(views, "session_of", careless)
    assert any("plays for whoever knows" in problem for problem in audit_blindness(study=small).problems)


def test_pages_that_break_are_a_problem_and_no_crash(small, monkeypatch):
    from studies.listening import pages

    def broken(trial):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(pages, "attribution_page", broken)
    assert any("the pages break at" in problem for problem in audit_blindness(study=small).problems)
    assert Item.objects.filter(study=small).count() == 7


def test_a_way_that_leads_nowhere_is_a_problem(small, monkeypatch):
    from studies.listening import views

    monkeypatch.setattr(views.services, "complete_sound_check", lambda **answers: None)
    problems = audit_blindness(study=small).problems
    assert any("cannot get beyond 'sound_check'" in problem for problem in problems), problems


def test_a_condition_that_the_wording_names_is_a_warning(small):
    small.title = "Joplin or not"
    small.save()
    audit = audit_blindness(study=small)
    assert audit.problems == []
    assert any("names the condition 'joplin'" in warning for warning in audit.warnings)


def test_a_simulated_study_can_be_audited_too():
    simulated = make_study("simulated", is_simulated=True, **SMALL)
    assert audit_blindness(study=simulated).problems == []
