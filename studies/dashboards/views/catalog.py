"""Library, pieces, models and corpora, and the sound of a stimulus for a researcher."""

from csp.constants import UNSAFE_INLINE
from csp.decorators import csp_update
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from music.score import MusicError
from studies.catalog.errors import CatalogError
from studies.catalog.models import Corpus, Origin, Piece, Stimulus, TrainedModel
from studies.catalog.selectors import ORIGINS, provenance_of, stimuli_of
from studies.dashboards import figures, rolls
from studies.dashboards.forms import LibraryFilter
from studies.dashboards.pages import CARDS_PER_PAGE, page_of, show
from studies.dashboards.selectors import catalog as selectors
from studies.dashboards.selectors import originality
from studies.listening.audio import audio_response

#: Plotly sets styles on the elements it makes; only pages with a plot allow that.
allows_plots = csp_update({"style-src": [UNSAFE_INLINE]})


@require_safe
def library(request):
    """All pieces as cards with their rolls."""
    form = LibraryFilter(request.GET)
    wanted = form.wanted()
    page = page_of(request, selectors.pieces(**wanted), CARDS_PER_PAGE)
    return show(request, "library.html", "library", form=form, page=page, is_filtered=any(wanted.values()))


@require_safe
def piece(request, public_id):
    """One piece: its roll, its sound, where it came from, and the training excerpt nearest to it."""
    piece = get_object_or_404(Piece.objects.select_related(*ORIGINS), public_id=public_id)
    return show(
        request,
        "piece.html",
        "library",
        piece=piece,
        provenance=provenance_of(piece),
        stimuli=stimuli_of(piece),
        nearest=originality.nearest_of(piece),
        hearings=selectors.unblinded_hearings(piece),
    )


@require_safe
@cache_control(private=True, max_age=86400)
def roll(request, public_id):
    """The piano roll of a piece as a small SVG image."""
    return _roll(public_id, "small")


@require_safe
@cache_control(private=True, max_age=86400)
def wide_roll(request, public_id):
    """The piano roll of a piece as wide as a page."""
    return _roll(public_id, "wide")


def _roll(public_id, size: str) -> HttpResponse:
    piece = get_object_or_404(Piece, public_id=public_id)
    try:
        svg = rolls.roll_of(piece, size=size)
    except (MusicError, CatalogError) as error:
        raise Http404(str(error)) from error
    return HttpResponse(svg, content_type="image/svg+xml")


@require_safe
def audio(request, public_id):
    """The sound of a stimulus, by ranges."""
    stimulus = get_object_or_404(Stimulus, public_id=public_id)
    try:
        file = stimulus.mp3_file.open("rb")
    except OSError:
        raise Http404("the sound of this stimulus is gone from the data folder") from None
    return audio_response(request, file)


@require_safe
def models(request):
    """All trained models."""
    return show(request, "models.html", "models", models=selectors.models())


@require_safe
@allows_plots
def model(request, name):
    """One model: how it learned, and what it composed."""
    model = get_object_or_404(TrainedModel.objects.select_related("corpus"), name=name)
    pieces = selectors.pieces().filter(generation__model=model)
    return show(
        request,
        "model.html",
        "models",
        model=model,
        n_bytes=selectors.checkpoint_bytes(model),
        curves=figures.training(selectors.training_curves(model)),
        generations=selectors.generations_of(model),
        page=page_of(request, pieces, CARDS_PER_PAGE),
    )


@require_safe
def corpora(request):
    """All corpora."""
    return show(request, "corpora.html", "corpora", corpora=selectors.corpora())


@require_safe
def corpus(request, name):
    """One corpus: its pieces, its splits, and what was refused or left out."""
    corpus = get_object_or_404(Corpus, name=name)
    pieces = selectors.pieces(origin=Origin.CORPUS).filter(corpus=corpus).order_by("pk")
    return show(
        request,
        "corpus.html",
        "corpora",
        corpus=corpus,
        spreads=selectors.spreads_of(corpus),
        page=page_of(request, pieces, CARDS_PER_PAGE),
    )
