"""Every page of the studio: behind the login, whole with no rows and with many, and deaf to hostile names."""

import json
import re
import uuid

import pytest
from django.urls import get_resolver, reverse

HOSTILE = "<img src=x onerror=alert(1)>\"'</script>{{7*7}}"
SOMETHING = uuid.UUID("00000000-0000-4000-8000-000000000001")
ARGUMENTS = {
    "slug": "first",
    "name": "deep",
    "public_id": SOMETHING,
    "pk": 1,
    "measure": "overlap",
    "index": 0,
    "form": "pdf",
}


def every_address() -> list[str]:
    """One address for each pattern under /studio/."""
    patterns = get_resolver("studies.dashboards.urls").url_patterns
    return [
        reverse(f"dashboards:{each.name}", kwargs={name: ARGUMENTS[name] for name in each.pattern.converters})
        for each in patterns
    ]


def text_of(response) -> str:
    return b"".join(response).decode() if response.streaming else response.content.decode()


@pytest.mark.parametrize("method", ["get", "post", "head"])
@pytest.mark.parametrize("address", every_address())
def test_every_page_asks_strangers_to_sign_in(client, db, address, method):
    response = getattr(client, method)(address)
    assert response.status_code == 302
    assert response["Location"] == f"{reverse('login')}?next={address}"


def test_the_list_of_addresses_is_not_empty():
    assert len(every_address()) >= 20


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("studies", "create_study"),
        ("library", "import_corpus"),
        ("models", "train"),
        ("corpora", "import_corpus"),
        ("originality", "plagiarism"),
    ],
)
def test_an_empty_page_says_the_command_that_fills_it(studio, place, command):
    page = text_of(studio.get(reverse(f"dashboards:{place}")))
    assert f"python manage.py {command}" in page
    assert 'aria-current="page"' in page


@pytest.mark.parametrize("address", every_address())
def test_what_is_not_there_is_a_plain_404(studio, address):
    response = studio.get(address)
    lists = ("studies", "library", "models", "corpora", "originality")
    if address in {reverse(f"dashboards:{place}") for place in (*lists, "plan")}:
        assert response.status_code == 200
    else:
        assert response.status_code == 404
        assert "There is nothing here" in text_of(response)


def test_the_first_page_of_the_site_is_the_list_of_studies(studio):
    assert studio.get("/").url == reverse("dashboards:studies")


# ---- lists ask the database as often for one row as for three


def n_queries(studio, django_assert_max_num_queries, address) -> int:
    with django_assert_max_num_queries(40) as seen:
        assert studio.get(address).status_code == 200
    return len(seen)


@pytest.mark.parametrize("place", ["studies", "library", "models", "corpora", "originality"])
def test_a_list_takes_as_many_queries_for_three_rows_as_for_one(
    studio, rows, django_assert_max_num_queries, place
):
    def add(number):
        corpus = rows.corpus(f"corpus-{number}")
        model = rows.model(f"model-{number}", corpus=corpus)
        generation = rows.generation(f"generation-{number}", model=model)
        piece = rows.piece(name="p", generation=generation)
        rows.piece(name="s", scrambled_from=piece, origin="scramble", collection="", seed=number)
        rows.study(f"study-{number}")
        rows.report(generation=generation, corpus=corpus, names=("x", "y"))

    address = reverse(f"dashboards:{place}")
    add(0)
    studio.get(address)  # the session's own first query
    one = n_queries(studio, django_assert_max_num_queries, address)
    add(1), add(2)
    assert n_queries(studio, django_assert_max_num_queries, address) == one


def test_a_models_page_takes_as_many_queries_for_three_generations_as_for_one(
    studio, rows, django_assert_max_num_queries
):
    model = rows.model()

    def add(number):
        generation = rows.generation(f"deep-{number}", model=model)
        rows.report(generation=generation, corpus=rows.corpus(f"searched-{number}"), names=("x", "y"))

    address = reverse("dashboards:model", args=["deep"])
    add(0)
    studio.get(address)
    one = n_queries(studio, django_assert_max_num_queries, address)
    add(1), add(2)
    assert n_queries(studio, django_assert_max_num_queries, address) == one


def test_a_studys_page_takes_as_many_queries_for_three_listeners_as_for_one(
    studio, rows, django_assert_max_num_queries
):
    study = rows.study(listeners=1)
    address = reverse("dashboards:study", args=["first"])
    one = n_queries(studio, django_assert_max_num_queries, address)
    rows.listener(study, 1), rows.listener(study, 2)
    assert n_queries(studio, django_assert_max_num_queries, address) == one


# ---- hostile names


def test_hostile_names_stay_text_on_every_page(studio, rows):
    corpus = rows.corpus(
        rejected=[{"file": HOSTILE, "reason": HOSTILE}], duplicates=[[HOSTILE, HOSTILE]], license=HOSTILE
    )
    generation = rows.generation(model=rows.model(settings={HOSTILE: HOSTILE}))
    piece = rows.piece(name=HOSTILE, generation=generation, source=HOSTILE)
    rows.stimulus(piece)
    rows.study(title=f'"{HOSTILE[:8]}"'.replace('"', ""), state="closed", unblinded=True, listeners=4)
    report = rows.report(
        generation=generation, corpus=rows.corpus("hostile"), names=(HOSTILE[:20], "<b>y</b>")
    )
    addresses = [
        *(
            reverse(f"dashboards:{place}")
            for place in ("studies", "library", "models", "corpora", "originality")
        ),
        reverse("dashboards:piece", args=[piece.public_id]),
        reverse("dashboards:model", args=["deep"]),
        reverse("dashboards:corpus", args=[corpus.name]),
        reverse("dashboards:study", args=["first"]),
        reverse("dashboards:results", args=["first"]),
        reverse("dashboards:ratings", args=["first"]) + "?piece=%3Cimg+src%3Dx%3E",
        reverse("dashboards:report", args=[report.pk]),
        reverse("dashboards:pair", args=[report.pk, "overlap", 0]),
        reverse("dashboards:pair", args=[report.pk, "melody", 0]),
        reverse("dashboards:library") + "?text=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
    ]
    for address in addresses:
        response = studio.get(address)
        page = text_of(response)
        assert response.status_code == 200, address
        assert "<img src=x" not in page, address
        assert "<b>y</b>" not in page, address
        assert "{{7*7}}" in page or "49" not in re.findall(r"script>(\d+)", page), address
        assert len(re.findall("<script(?! src=| id=)", page)) == 0, address
        assert " style=" not in page, address
        assert not re.findall(r"\son[a-z]+=\"", page), address


# ---- the library


def test_the_library_filters_by_origin_and_name(studio, rows):
    rows.piece(name="air", corpus=rows.corpus())
    rows.piece(name="gigue", generation=rows.generation())
    page = text_of(studio.get(reverse("dashboards:library"), {"origin": "corpus"}))
    assert "air" in page
    assert "gigue" not in page
    page = text_of(studio.get(reverse("dashboards:library"), {"text": "GIG"}))
    assert "gigue" in page
    assert ">air<" not in page


def test_the_library_shows_what_was_made_only_for_studies_when_asked(studio, rows):
    air = rows.piece(name="air", corpus=rows.corpus())
    rows.piece(name="brought", collection="elsewhere")
    rows.piece(name="beeps", collection="attention-checks")
    rows.piece(name="mixed", scrambled_from=air, origin="scramble", collection="", seed=1)

    def names(origin):
        page = text_of(studio.get(reverse("dashboards:library"), {"origin": origin} if origin else {}))
        return set(re.findall(r'<span class="name">(.*?)</span>', page))

    assert names("") == {"air", "brought"}
    assert names("import") == {"brought"}
    assert names("scramble") == {"mixed"}
    assert names("check") == {"beeps"}
    assert names("everything") == {"air", "brought", "beeps", "mixed"}


@pytest.mark.parametrize(
    "query", ["origin=nowhere", "text=%00", "page=9999", "page=-1", "page=x", "text=" + "a" * 5000]
)
def test_the_library_takes_any_query(studio, rows, query):
    rows.piece(name="air")
    assert studio.get(f"{reverse('dashboards:library')}?{query}").status_code == 200


def test_the_library_is_cut_into_pages(studio, rows):
    for number in range(25):
        rows.piece(name=f"piece-{number:02}")
    first = text_of(studio.get(reverse("dashboards:library")))
    assert "Page 1 of 2" in first
    assert "piece-24" in first
    assert "piece-00" not in first
    assert "piece-00" in text_of(studio.get(reverse("dashboards:library"), {"page": 2}))


def test_a_roll_is_an_image_drawn_once(studio, rows):
    from studies.dashboards.rolls import roll_path

    piece = rows.piece()
    address = reverse("dashboards:roll", args=[piece.public_id])
    response = studio.get(address)
    assert response["Content-Type"] == "image/svg+xml"
    assert b"<svg" in response.content
    assert "private" in response["Cache-Control"]
    assert roll_path(piece, "small").exists()
    piece.midi_file.unlink()
    assert studio.get(address).content == response.content


def test_a_piece_whose_file_is_gone_or_broken_has_a_page_and_no_roll(studio, rows):
    gone, broken = rows.piece("gone", tune=7001), rows.piece("broken", tune=7002)
    gone.midi_file.unlink()
    broken.midi_file.write_bytes(b"MThd nothing")
    for piece in (gone, broken):
        assert studio.get(reverse("dashboards:piece", args=[piece.public_id])).status_code == 200
        assert studio.get(reverse("dashboards:roll", args=[piece.public_id])).status_code == 404


def test_a_piece_without_sound_says_the_command_that_makes_it(studio, rows):
    piece = rows.piece()
    page = text_of(studio.get(reverse("dashboards:piece", args=[piece.public_id])))
    assert f"python manage.py render {piece.public_id}" in page
    rows.stimulus(piece)
    page = text_of(studio.get(reverse("dashboards:piece", args=[piece.public_id])))
    assert "python manage.py render" not in page
    assert "<audio" in page


def test_sound_is_served_by_ranges(studio, rows):
    stimulus = rows.stimulus(mp3=bytes(range(256)) * 4)
    address = reverse("dashboards:audio", args=[stimulus.public_id])
    response = studio.get(address, headers={"Range": "bytes=10-19"})
    assert response.status_code == 206
    assert b"".join(response) == bytes(range(10, 20))
    assert response["Content-Range"] == "bytes 10-19/1024"
    assert b"".join(studio.get(address)) == bytes(range(256)) * 4
    stimulus.mp3_file.unlink()
    assert studio.get(address).status_code == 404


# ---- models and corpora


def figures_of(page: str) -> dict[str, dict]:
    """The figures in a page, by the id of their JSON."""
    found = re.findall(r'<script id="plot-([^"]+)" type="application/json">(.*?)</script>', page, re.S)
    return {name: json.loads(text) for name, text in found}


def test_a_model_shows_its_losses_and_its_pieces(studio, rows):
    model = rows.model()
    model.folder.mkdir(parents=True)
    lines = [
        {"update": 5, "stage": "pretraining", "losses": {"layer 1": 9.5}, "figures": {}},
        {"update": 25, "stage": "pretraining", "losses": {"layer 1": 8.5}, "figures": {}},
        {"update": 50, "stage": "pretraining", "losses": {"layer 1": 7.5}, "figures": {}},
        {
            "update": 75,
            "stage": "fine-tuning",
            "losses": {"model": 0.5},
            "figures": {"train": {"loss": 0.4}, "validation": {"loss": 0.6}},
        },
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"update": 100, "los'
    (model.folder / "training.jsonl").write_text(text)
    rows.piece(name="opus-one", generation=rows.generation())
    page = text_of(studio.get(reverse("dashboards:model", args=["deep"])))
    figures = figures_of(page)
    assert set(figures) == {"stage-0"}
    assert figures["stage-0"]["data"][0]["y"] == [9.5, 8.5, 7.5]
    assert figures["stage-0"]["layout"]["yaxis"]["title"]["text"] == "mean loss of stage pretraining"
    assert page.count("Too few measurements for a line") == 2
    for words in (
        "train, after 75 updates: 0.4",
        "validation, after 75 updates: 0.6",
        "after 75 updates: 0.5",
    ):
        assert words in page
    assert ">9.5<" in page  # the table twin
    assert "opus-one" in page


def test_three_evaluations_make_a_line_that_names_its_loss(studio, rows):
    model = rows.model()
    model.folder.mkdir(parents=True, exist_ok=True)
    lines = [
        {"update": 25 * n, "stage": stage, "losses": {"model": 3 / n}, "figures": {"train": {"loss": 3 / n}}}
        for n, stage in ((1, "layer_1"), (2, "layer_1"), (3, "fine_tuning"))
    ]
    record = model.folder / "training.jsonl"
    titles = []
    for stages in (lines, [{**line, "stage": "words"} for line in lines]):
        record.write_text("".join(json.dumps(line) + "\n" for line in stages))
        page = text_of(studio.get(reverse("dashboards:model", args=["deep"])))
        drawn = figures_of(page)["evaluations"]
        assert [trace["name"] for trace in drawn["data"]] == ["train"]
        titles.append(drawn["layout"]["yaxis"]["title"]["text"])
    assert titles == ["mean loss over all stages", "mean loss of stage words"]


def test_a_model_without_a_folder_has_a_page(studio, rows):
    rows.model("lost")
    page = text_of(studio.get(reverse("dashboards:model", args=["lost"])))
    assert "no record of the training" in page
    assert "its folder is gone" in page


def test_a_corpus_shows_splits_refusals_and_duplicates(studio, rows):
    corpus = rows.corpus(
        rejected=[{"file": "broken.mid", "reason": "no header"}], duplicates=[["copy.mid", "one.mid"]]
    )
    rows.piece(name="one", corpus=corpus, split="train", meter="3/4", key="D minor")
    page = text_of(studio.get(reverse("dashboards:corpus", args=["chorales"])))
    for words in ("broken.mid", "no header", "copy.mid", "3/4", "D minor", "Train"):
        assert words in page


# ---- originality


def test_a_report_shows_histograms_and_the_worst_copy_first(studio, rows):
    report = rows.report(names=("copy", "own"))
    page = text_of(studio.get(reverse("dashboards:report", args=[report.pk])))
    assert set(figures_of(page)) == {"overlap", "melody"}
    assert page.index("copier-s1-1/copy") < page.index("copier-s1-1/own")
    assert "chorale-0" in page


def test_a_pair_shows_both_rolls_with_the_shared_notes_marked(studio, rows):
    report = rows.report(names=("copy", "own"))
    for measure in ("overlap", "melody"):
        page = text_of(studio.get(reverse("dashboards:pair", args=[report.pk, measure, 0])))
        rolls = re.findall(r"<svg.*?</svg>", page, re.S)
        assert len(rolls) == 2
        marked = [len(re.findall(r'class="[^"]*\bshared\b', roll)) for roll in rolls]
        assert marked[0] == marked[1] > 20
        assert "2 semitones up" in page
        assert "python manage.py render" in page


def test_a_pair_plays_the_excerpt_where_its_sound_is_rendered(studio, rows):
    from studies.catalog.models import Piece

    report = rows.report(names=("copy", "own"))
    for name in ("copy", "chorale-0"):
        rows.stimulus(Piece.objects.get(name=name), start_seconds=0.0, seconds=60.0)
    page = text_of(studio.get(reverse("dashboards:pair", args=[report.pk, "overlap", 0])))
    assert len(re.findall(r"<audio[^>]+#t=\d+\.\d{3},\d+\.\d{3}", page)) == 2
    assert "python manage.py render" not in page


@pytest.mark.parametrize("measure", ["overlap", "melody"])
def test_a_pair_that_is_silent_is_rendered_at_the_press_of_a_button(studio, rows, measure):
    from studies.catalog.models import Stimulus

    report = rows.report(names=("copy", "own"))
    address = reverse("dashboards:pair", args=[report.pk, measure, 1]) + "?match=1"
    silent = text_of(studio.get(address))
    assert "Render these two excerpts</button>" in silent
    assert "<audio" not in silent
    response = studio.post(address)
    assert (response.status_code, response["Location"]) == (302, address)
    page = text_of(studio.get(address))
    assert len(re.findall(r"<audio[^>]+#t=\d+\.\d{3},\d+\.\d{3}", page)) == 2
    assert "Render these" not in page
    sounds = list(Stimulus.objects.order_by("pk"))
    assert all(sound.mp3_file.stat().st_size > 1000 for sound in sounds)
    studio.post(address)
    assert list(Stimulus.objects.order_by("pk")) == sounds, "a second press makes nothing"


def test_looking_at_a_pair_renders_nothing(studio, rows):
    from studies.catalog.models import Stimulus

    report = rows.report(names=("copy", "own"))
    studio.get(reverse("dashboards:pair", args=[report.pk, "overlap", 0]))
    studio.head(reverse("dashboards:pair", args=[report.pk, "overlap", 0]))
    assert not Stimulus.objects.exists()


def test_rendering_a_pair_needs_the_token_of_the_page(ada, rows):
    from django.test import Client

    from studies.catalog.models import Stimulus

    report = rows.report(names=("copy", "own"))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert strict.post(reverse("dashboards:pair", args=[report.pk, "overlap", 0])).status_code == 403
    assert not Stimulus.objects.exists()


def test_a_pair_that_cannot_be_rendered_says_why(studio, rows, monkeypatch):
    from studies.dashboards import services

    report = rows.report(names=("copy", "own"))
    address = reverse("dashboards:pair", args=[report.pk, "overlap", 0])
    monkeypatch.setattr(services, "LONGEST_WAITED_FOR", 1)
    page = text_of(studio.post(address, follow=True))
    assert "at most 1 are rendered from the studio; run python manage.py render" in page

    def refuse(**_):
        raise services.CatalogError("its file is gone")

    monkeypatch.setattr(services, "LONGEST_WAITED_FOR", 60)
    monkeypatch.setattr(services, "render_stimulus", refuse)
    assert "This pair cannot be heard: its file is gone" in text_of(studio.post(address, follow=True))


def test_a_sound_that_misses_the_excerpt_is_not_offered(studio, rows):
    from studies.catalog.models import Piece

    report = rows.report(names=("copy", "own"))
    rows.stimulus(Piece.objects.get(name="copy"), start_seconds=15.0, seconds=1.0)
    assert "<audio" not in text_of(studio.get(reverse("dashboards:pair", args=[report.pk, "overlap", 0])))


@pytest.mark.parametrize(
    "tail", ["sideways/0/", "overlap/99/", "overlap/0/?match=99", "overlap/0/?match=x", "overlap/0/?match=-1"]
)
def test_a_pair_that_is_not_there_is_a_404(studio, rows, tail):
    report = rows.report(names=("copy", "own"))
    assert studio.get(f"{reverse('dashboards:report', args=[report.pk])}{tail}").status_code == 404


def test_a_report_on_files_from_elsewhere_says_so(studio, rows):
    report = rows.report(names=("copy", "own"))
    report.result["pieces"][0]["piece"] = "somewhere.mid"
    report.save()
    assert studio.get(reverse("dashboards:report", args=[report.pk])).status_code == 200
    page = text_of(studio.get(reverse("dashboards:pair", args=[report.pk, "overlap", 0])))
    assert "from outside the catalog" in page


def test_a_report_of_one_measure_has_a_page(studio, rows):
    report = rows.report(names=("copy", "own"))
    report.result["summary"]["melody"] = report.result["distributions"]["melody"] = None
    for piece in report.result["pieces"]:
        piece["melody"] = None
    report.save()
    page = text_of(studio.get(reverse("dashboards:report", args=[report.pk])))
    assert set(figures_of(page)) == {"overlap"}
    assert studio.get(reverse("dashboards:originality")).status_code == 200


def test_a_report_can_be_taken_along(studio, rows):
    report = rows.report(names=("copy", "own"))
    csv = text_of(studio.get(reverse("dashboards:report_csv", args=[report.pk])))
    assert csv.splitlines()[1].startswith("copier-s1-1/copy,")
    result = studio.get(reverse("dashboards:report_json", args=[report.pk])).json()
    assert result == report.result


def test_a_piece_links_to_what_is_nearest_to_it(studio, rows):
    from studies.catalog.models import Piece

    report = rows.report(names=("copy", "own"))
    page = text_of(studio.get(reverse("dashboards:piece", args=[Piece.objects.get(name="copy").public_id])))
    assert reverse("dashboards:pair", args=[report.pk, "overlap", 0]) in page
    assert reverse("dashboards:pair", args=[report.pk, "melody", 0]) in page


def test_a_piece_stands_below_its_nearest_excerpt_and_both_are_heard_there(studio, rows):
    from studies.catalog.models import Piece

    report = rows.report(names=("copy", "own"))
    address = reverse("dashboards:piece", args=[Piece.objects.get(name="copy").public_id])
    page = text_of(studio.get(address))
    rolls = re.findall(r"<svg.*?</svg>", page, re.S)
    marked = [len(re.findall(r'class="[^"]*\bshared\b', roll)) for roll in rolls]
    assert len(rolls) == 2
    assert marked[0] == marked[1] > 20
    assert page.index("The corpus: <a") < page.index("The piece: <a")
    assert '<input type="hidden" name="back" value="piece">' in page
    pair = reverse("dashboards:pair", args=[report.pk, "overlap", 0])
    response = studio.post(pair, {"back": "piece"})
    assert (response.status_code, response["Location"]) == (302, address)
    heard = text_of(studio.get(address))
    assert len(re.findall(r"<audio[^>]+#t=\d+\.\d{3},\d+\.\d{3}", heard)) == 2
    assert "Render these" not in heard


@pytest.mark.parametrize("subject", ["copier", "theirs"])
def test_a_piece_finds_the_report_on_its_model_or_its_import(studio, rows, subject):
    from studies.catalog.models import Piece

    report = rows.report(names=("copy", "own"))
    piece = Piece.objects.get(name="copy")
    if subject == "theirs":
        piece.generation, piece.collection, piece.origin = None, "theirs", "import"
        piece.save()
    report.generation, report.subject = None, subject
    report.result["pieces"][0]["piece"] = str(piece)
    report.save()
    page = text_of(studio.get(reverse("dashboards:piece", args=[piece.public_id])))
    assert reverse("dashboards:pair", args=[report.pk, "overlap", 0]) in page
    assert len(re.findall(r"<svg.*?</svg>", page, re.S)) == 2


def test_a_piece_whose_source_is_gone_says_so(studio, rows):
    from studies.catalog.models import Piece

    rows.report(names=("copy", "own"))
    Piece.objects.get(name="chorale-0").delete()
    page = text_of(studio.get(reverse("dashboards:piece", args=[Piece.objects.get(name="copy").public_id])))
    assert "chorale-0 is no longer in the corpus" in page


def test_a_melody_pair_says_where_it_stands_in_notes_bars_and_beats(studio, rows):
    report = rows.report(names=("copy", "own"))
    page = text_of(studio.get(reverse("dashboards:pair", args=[report.pk, "melody", 0])))
    assert "In the piece: notes 1 to 64 of its melody, from bar 1, beat 1 to bar 8, beat 4.5." in page
    assert "In the corpus: notes 1 to 64 of its melody" in page


# ---- what browsers are told


def test_only_pages_with_plots_allow_inline_styles(studio, rows):
    rows.study(listeners=2)
    assert "unsafe-inline" not in studio.get(reverse("dashboards:studies"))["Content-Security-Policy"]
    policy = studio.get(reverse("dashboards:study", args=["first"]))["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src 'self';" in policy


def test_pages_are_kept_by_no_cache(studio, rows):
    assert "no-store" in studio.get(reverse("dashboards:studies"))["Cache-Control"]


@pytest.mark.parametrize("template", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_pages_need_nothing_and_say_what_to_do(template):
    from django.template.loader import render_to_string

    page = render_to_string(template)
    assert "<h1>" in page
    assert "Traceback" not in page
    assert "style=" not in page


def test_an_error_of_ours_shows_no_traceback(studio, rows, monkeypatch):
    rows.piece()
    studio.raise_request_exception = False
    monkeypatch.setattr("studies.dashboards.selectors.catalog.pieces", lambda **_: 1 / 0)
    response = studio.get(reverse("dashboards:library"))
    assert response.status_code == 500
    assert "Something went wrong on our side" in text_of(response)
    assert "ZeroDivisionError" not in text_of(response)
