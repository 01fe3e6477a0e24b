"""What happens in the catalog: importing, training, composing, measuring what was copied, rendering."""

from studies.catalog.services.corpora import import_corpus
from studies.catalog.services.generation import generate_pieces, harmonize_melody
from studies.catalog.services.gradients import draw_gradients
from studies.catalog.services.imports import import_pieces
from studies.catalog.services.melody_strings import play_melody_strings, write_melody_strings
from studies.catalog.services.originality import search_originality
from studies.catalog.services.scores import import_score, scramble_piece
from studies.catalog.services.stimuli import render_sources, render_stimulus
from studies.catalog.services.training import train_model

__all__ = [
    "draw_gradients",
    "generate_pieces",
    "harmonize_melody",
    "import_corpus",
    "import_pieces",
    "import_score",
    "play_melody_strings",
    "render_sources",
    "render_stimulus",
    "scramble_piece",
    "search_originality",
    "train_model",
    "write_melody_strings",
]
