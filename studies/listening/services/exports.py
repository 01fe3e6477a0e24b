"""A study as files: anybody can analyse them, and nobody is named in them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from studies.listening.clock import now
from studies.listening.codebook import CODEBOOK, codebook_markdown
from studies.listening.errors import ListeningError
from studies.listening.models import Event, Item, Session, Study, Trial
from studies.listening.selectors import pseudonym, ratings_table, study_progress
from studies.listening.services.lives import log_key_access

if TYPE_CHECKING:
    import pandas as pd

WITH_REPEAT = "{label}_repeat"


def export_study(*, study: Study, out: Path | str, who: str = "") -> dict:
    """Write a study to a folder: tables, a codebook, the specification, agreed texts, the key once unblinded.

    While the study is blind, letters and labels stand for conditions and pieces, and no file holds what the
    orders were drawn by: session seeds and the study's secret are written with the key. Rows of simulated
    listeners are only in exports of simulated studies, whose files say so in their names and in a column.
    Recruiters' ids, withdrawal codes and addresses are in no file. Reading the key is written down.

    Parameters
    ----------
    out : Path or str
        A folder; made if it is missing, files of the same names in it are replaced.
    who : str
        Who exports, for the record of key readings.

    Returns
    -------
    result : dict
        study, path, simulated, blind, withdrawals, and files: each with its rows and SHA-256.

    Raises
    ------
    ListeningError
        If the folder cannot be written.
    """
    out = Path(out).expanduser()
    prefix = "simulated_" if study.is_simulated else ""
    ratings = analysed_ratings(study)
    tables: dict[str, Iterable[dict]] = {
        "ratings": _records(ratings),
        "ratings_wide": _wide(study, ratings),
        "trials": _trials(study),
        "participants": _participants(study),
        "events": _events(study),
    }
    if not study.is_blind:
        tables["key"] = _key(study)
        log_key_access(study=study, who=who or "export_study", what="exported the key")
    files: dict[str, dict] = {}
    try:
        out.mkdir(parents=True, exist_ok=True)
        if study.is_blind:
            (out / f"{prefix}key.csv").unlink(missing_ok=True)
        for name, records in tables.items():
            files[f"{prefix}{name}.csv"] = _write_table(out / f"{prefix}{name}.csv", records, CODEBOOK[name])
        codebook = {name: CODEBOOK[name] for name in tables}
        texts = {
            "codebook.json": _json(codebook),
            "codebook.md": codebook_markdown(codebook, title=study.title, prefix=prefix),
            "specification.yaml": study.specification,
        }
        texts |= {f"consent-{kept.sha256[:12]}.txt": kept.text for kept in study.consent_texts.all()}
        for name, text in texts.items():
            files[f"{prefix}{name}"] = _write(out / f"{prefix}{name}", text)
        about = about_study(study) | {"files": files}
        _write(out / f"{prefix}study.json", _json(about))
    except OSError as error:
        raise ListeningError(
            f"cannot write to {out}: {error.strerror or error}; name another folder"
        ) from error
    return {
        "study": study.slug,
        "path": str(out),
        "simulated": study.is_simulated,
        "blind": study.is_blind,
        "withdrawals": study.withdrawals.count(),
        "files": files,
    }


def analysed_ratings(study: Study) -> pd.DataFrame:
    """The ratings with the rules that the study declared written into the column ``excluded``."""
    from analysis.ratings.screening import screen
    from analysis.ratings.table import check_ratings

    ratings = ratings_table(study)
    if ratings.empty:
        return ratings
    rules = study.design["analysis"]["exclude"]
    seconds = study.design["excerpt"]["seconds"]
    checked = check_ratings(ratings)
    for rule in rules:
        kept, _, _ = screen(checked, [rule], excerpt_seconds=seconds)
        out = ~ratings.index.isin(kept.index)
        free = ratings["excluded"] == ""
        ratings.loc[out & free, "excluded"] = rule
        ratings.loc[out & ~free, "excluded"] += f"+{rule}"
    return ratings


def about_study(study: Study) -> dict:
    """What a reader must know about a study beside its tables."""
    progress = study_progress(study)
    counts = (
        "started",
        "finished",
        "left_out",
        "in_progress",
        "abandoned",
        "withdrawn",
        "n_ratings",
        "n_judgements",
    )
    return {
        "study": study.slug,
        "title": study.title,
        "simulated": study.is_simulated,
        "simulation": study.simulation or None,
        "state": study.state,
        "blind": study.is_blind,
        "specification_sha256": study.specification_sha256,
        "design": study.design,
        "selection": study.selection,
        "draw_secret": None if study.is_blind else study.draw_secret,
        "opened_at": _cell(study.opened_at) or None,
        "closed_at": _cell(study.closed_at) or None,
        "unblinded_at": _cell(study.unblinded_at) or None,
        "unblinded_by": study.unblinded_by or None,
        "counts": {name: progress[name] for name in counts},
        "key_accesses": [
            {"who": access.who, "what": access.what, "at": _cell(access.at)}
            for access in study.key_accesses.all()
        ],
        "code_version": code_version(),
        "exported_at": _cell(now()),
    }


def code_version() -> str:
    """The version of this program."""
    import tomllib

    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"


def _records(ratings: pd.DataFrame) -> Iterator[dict]:
    columns = list(ratings.columns)
    for row in ratings.itertuples(index=False, name=None):
        yield dict(zip(columns, row, strict=True))


def _wide(study: Study, ratings: pd.DataFrame) -> Iterator[dict]:
    """One row per participant, one column per main piece, named by its label, and one for its repeat."""
    labels = list(
        Item.objects.filter(study=study, use=Item.Use.MAIN).order_by("label").values_list("label", flat=True)
    )
    blind_rows = ratings_table(study, blind=True)
    rows: dict[str, dict] = {}
    for record in _records(blind_rows):
        row = rows.setdefault(record["participant"], {"participant": record["participant"]})
        label = record["piece"]
        row[WITH_REPEAT.format(label=label) if record["repeat"] else label] = record["rating"]
    columns = [name for label in labels for name in (label, WITH_REPEAT.format(label=label))]
    for row in rows.values():
        yield {"participant": row["participant"], "simulated": int(study.is_simulated)} | {
            name: row.get(name) for name in columns
        }


def _trials(study: Study) -> Iterator[dict]:
    """Every trial in its order, whether answered or not."""
    trials = Trial.objects.filter(session__participant__study=study).order_by("session_id", "position")
    trials = trials.select_related("session__participant", "item__condition", "item__stimulus")
    for trial in trials.select_related("rating", "judgement").iterator(chunk_size=2000):
        rating = getattr(trial, "rating", None)
        judgement = getattr(trial, "judgement", None)
        condition = trial.item.condition
        yield {
            "participant": pseudonym(study.slug, trial.session.participant.public_id),
            "simulated": int(trial.session.participant.is_simulated),
            "position": trial.position,
            "kind": trial.kind,
            "label": trial.item.label,
            "letter": condition.letter if condition else None,
            "excerpt_seconds": trial.item.stimulus.seconds,
            "requested_value": trial.item.requested_value,
            "rating": rating and rating.value,
            "response_time_ms": rating and rating.response_time_ms,
            "listened_seconds": rating and round(rating.listened_seconds, 3),
            "answered_at": rating and rating.answered_at,
            "attribution_position": trial.attribution_position,
            "judged_human": judgement and int(judgement.judged_human),
            "confidence": judgement and judgement.confidence,
            "familiar": judgement and judgement.familiarity,
            "judgement_response_time_ms": judgement and judgement.response_time_ms,
            "judgement_listened_seconds": judgement and round(judgement.listened_seconds, 3),
            "judged_at": judgement and judgement.answered_at,
            "skipped_at": trial.skipped_at,
            "judgement_skipped_at": trial.judgement_skipped_at,
            "skip_reason": trial.skip_reason,
        }


def _participants(study: Study) -> Iterator[dict]:
    """Every participant under a pseudonym, with what they told about themselves."""
    sessions = Session.objects.filter(participant__study=study).select_related("participant").order_by("pk")
    for session in sessions.iterator(chunk_size=2000):
        participant = session.participant
        yield {
            "participant": pseudonym(study.slug, participant.public_id),
            "simulated": int(participant.is_simulated),
            "consented_at": participant.consented_at,
            "consent_sha256": participant.consent_sha256,
            "started_at": session.started_at,
            "finished_at": session.finished_at,
            "stage": session.stage,
            **({} if study.is_blind else {"seed": session.seed}),
            "machine_first": int(session.machine_first),
            "background": _json_cell(participant.background),
            "sound_check": _json_cell(session.sound_check),
            "comment": session.comment,
        }


def _events(study: Study) -> Iterator[dict]:
    """Every event, as pages sent them."""
    events = Event.objects.filter(session__participant__study=study).order_by("session_id", "pk")
    names = (
        "session__participant__public_id",
        "session__participant__is_simulated",
        "trial__position",
        "page",
        "sequence",
        "kind",
        "from_seconds",
        "to_seconds",
        "detail",
        "client_ms",
        "received_at",
    )
    for values in events.values_list(*names).iterator(chunk_size=5000):
        row = dict(zip(names, values, strict=True))
        yield {
            "participant": pseudonym(study.slug, row.pop("session__participant__public_id")),
            "simulated": int(row.pop("session__participant__is_simulated")),
            "position": row.pop("trial__position"),
            **row,
        }


def _key(study: Study) -> Iterator[dict]:
    """Which label is which piece, of which condition, from where."""
    items = Item.objects.filter(study=study).order_by("label").select_related("condition", "stimulus__piece")
    items = items.select_related(
        "stimulus__piece__corpus",
        "stimulus__piece__generation",
        "stimulus__piece__scrambled_from__corpus",
        "stimulus__piece__scrambled_from__generation",
    )
    for item in items:
        piece, condition = item.stimulus.piece, item.condition
        yield {
            "label": item.label,
            "use": item.use,
            "letter": condition.letter if condition else None,
            "condition": condition.name if condition else None,
            "role": condition.role if condition else None,
            "piece": piece.name,
            "origin": piece.origin,
            "origin_name": piece.origin_name,
            "piece_sha256": piece.sha256,
            "piece_seed": piece.seed,
            "start_seconds": item.stimulus.start_seconds,
            "recipe_sha256": item.stimulus.recipe_sha256,
            "sound_sha256": item.stimulus.mp3_sha256,
        }


def _cell(value: Any) -> Any:
    """A value as it stands in a table: times in UTC to the millisecond, absent ones empty, no formulas."""
    from analysis.ratings.table import spreadsheet_safe

    if value is None or str(value) in ("nan", "<NA>", "NaT"):
        return ""
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):  # a bare carriage return would end the row for most readers
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    return spreadsheet_safe(value)


def _json_cell(value: Mapping) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""


def _write_table(path: Path, records: Iterable[dict], described: Mapping[str, str]) -> dict:
    """Write rows under a header; columns come from the first row, or from the codebook if there is none."""
    part = path.with_name(path.name + ".part")
    n_rows, writer = 0, None
    with part.open("w", encoding="utf-8", newline="") as file:
        for record in records:
            if writer is None:
                writer = csv.DictWriter(file, list(record), lineterminator="\n")
                writer.writeheader()
            writer.writerow({name: _cell(value) for name, value in record.items()})
            n_rows += 1
        if writer is None:
            csv.writer(file, lineterminator="\n").writerow([name for name in described if "{" not in name])
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    with path.open("rb") as written:
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    return {"rows": n_rows, "sha256": sha256}


def _write(path: Path, text: str) -> dict:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return {"rows": None, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
