"""What every column of an export means, with its unit and its values."""

from __future__ import annotations

from collections.abc import Mapping

_WHO = "pseudonym of the listener; the same in every table and every export of the study"
_SIMULATED = "1 for a listener made by a model, 0 for a person; never both in one study"
_LABEL = "label of the piece, which says nothing about it; the key tells which piece it is"
_LETTER = "letter of the condition; the key tells which condition it is"
_UTC = "UTC, ISO 8601"

#: Tables, their columns, and what those hold.
CODEBOOK: dict[str, dict[str, str]] = {
    "ratings": {
        "participant": _WHO,
        "piece": "the piece; its label while the study is blind",
        "condition": "the condition; its letter while the study is blind",
        "rating": "the answer on the study's scale, 1 (low end) to 10 (high end)",
        "judged_human": (
            "in the second pass: 1 composed by a person, 0 by a machine, empty if not asked or reached"
        ),
        "confidence": "of that judgement: 1 guessing, 2 not very sure, 3 fairly sure, 4 certain",
        "familiar": "new: never heard before; familiar: sounds familiar; known: known to the listener",
        "trial": "position in the sitting, from 1, practice counted",
        "repeat": "0 first hearing, 1 second hearing of the same piece",
        "listened_seconds": "unique seconds heard before the rating, counted by the server",
        "answered_at": f"when the rating was stored, {_UTC}",
        "excluded": (
            "rules declared before the study by which the row is put aside, joined by +; empty if none"
        ),
        "simulated": _SIMULATED,
        "failed_attention": (
            "attention checks that the listener failed: another number than that of the tones"
        ),
        "role": "real, generated or low_anchor; only once the study is unblinded",
    },
    "ratings_wide": {
        "participant": _WHO,
        "simulated": _SIMULATED,
        "{label}": "first rating of the piece with this label, 1-10",
        "{label}_repeat": "its second rating, where the listener heard it twice",
    },
    "trials": {
        "participant": _WHO,
        "simulated": _SIMULATED,
        "position": "position in the sitting, from 1, practice counted",
        "kind": "practice, main, repeat or attention",
        "label": _LABEL,
        "letter": f"{_LETTER}; empty for practice and attention checks",
        "excerpt_seconds": "length of the sound",
        "requested_value": "of an attention check: the number of its tones, the rating that is right",
        "rating": "1-10, empty if not answered",
        "response_time_ms": "from the start of the sound to the rating, as the page measured it",
        "listened_seconds": "unique seconds heard before the rating, counted by the server",
        "answered_at": f"when the rating was stored, {_UTC}",
        "attribution_position": "position in the human-or-machine pass, from 1",
        "judged_human": "1 composed by a person, 0 by a machine",
        "confidence": "1 guessing to 4 certain",
        "familiar": "new, familiar or known",
        "judgement_response_time_ms": "from the start of the sound in that pass to the judgement",
        "judgement_listened_seconds": "unique seconds heard in that pass before it, counted by the server",
        "judged_at": f"when the judgement was stored, {_UTC}",
        "skipped_at": f"when the listener went on because the sound did not play, {_UTC}",
        "judgement_skipped_at": "the same in the human-or-machine pass",
        "skip_reason": "what the page or the listener said about it",
    },
    "participants": {
        "participant": _WHO,
        "simulated": _SIMULATED,
        "consented_at": f"when they agreed, {_UTC}",
        "consent_sha256": "SHA-256 of the text that they agreed to",
        "started_at": f"start of the sitting, {_UTC}",
        "finished_at": f"end of the sitting, {_UTC}; empty if they left before",
        "stage": (
            "where they stand or left: sound_check, background, practice, rating, attribution, "
            "comment, debrief"
        ),
        "seed": "with the draw_secret of the study it gives their order; only once the study is unblinded",
        "machine_first": "1 where the button for machine stood first",
        "background": "answers of the background form, JSON",
        "sound_check": "answers of the sound check, JSON",
        "comment": "their last remark",
    },
    "events": {
        "participant": _WHO,
        "simulated": _SIMULATED,
        "position": "position of the trial, empty outside trials",
        "page": "random for each load of a page",
        "sequence": "counts the events of a page from 0",
        "kind": "loaded, play, pause, ended, heard, seek, hidden, visible or error",
        "from_seconds": "of heard: where it began in the sound",
        "to_seconds": "of heard: where it ended",
        "detail": "what else the page said",
        "client_ms": "milliseconds since that page was loaded",
        "received_at": f"when the server got it, {_UTC}",
    },
    "key": {
        "label": _LABEL,
        "use": "main, practice or attention",
        "letter": _LETTER,
        "condition": "name of the condition in the specification",
        "role": "real, generated or low_anchor",
        "piece": "name of the piece",
        "origin": "corpus, generation, import or scramble",
        "origin_name": "which corpus, generation, import or piece",
        "piece_sha256": "hash of its notes, or of the recording",
        "piece_seed": "seed of its generation or scrambling",
        "start_seconds": "where the excerpt begins in the piece",
        "recipe_sha256": "hash of all that shaped the sound",
        "sound_sha256": "SHA-256 of the file that was played",
    },
}


def codebook_markdown(codebook: Mapping[str, Mapping[str, str]], *, title: str, prefix: str = "") -> str:
    """The codebook as a page to read: a table per file."""
    lines = [f"# {' '.join(title.split())}: codebook", ""]
    if prefix:
        lines += ["**Simulated listeners: no person gave any of these answers.**", ""]
    lines += [
        "Text cells that a spreadsheet would take for a formula begin with an apostrophe.",
        "Empty cells are absent values.",
        "",
    ]
    for table, columns in codebook.items():
        lines += [f"## {prefix}{table}.csv", "", "| column | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in columns.items()]
        lines.append("")
    return "\n".join(lines)
