"""Drawing what a training recorded of its gradients."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from studies.catalog.errors import CatalogError
from studies.catalog.selectors import get_model
from studies.catalog.storage import write_text


def draw_gradients(*, model_name: str, html: str | Path) -> dict[str, Any]:
    """Write the record of a model's gradients as a page; returns the document of ``gradients --json``.

    Raises
    ------
    CatalogError
        If the model is unknown, has no record or a damaged one, or the page cannot be written.
    """
    from analysis.charts.gradients import gradients_figure, gradients_html
    from generators.checkpoint import read_file

    model = get_model(model_name)
    data = read_file(model.folder, "gradients.npz")
    if data is None:
        raise CatalogError(
            f"model {model.name!r} has no record of gradients; train with --gradients-every N to make one"
        )
    keys = ("names", "tensor", "entry", "updates", "gradients", "values")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            record = {key: stored[key] for key in keys}
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        path = model.folder / "gradients.npz"
        raise CatalogError(f"{path} is damaged: {error}; go on training to replace it") from None
    names, updates = [str(name) for name in record.pop("names")], record["updates"]
    figure = gradients_figure(names, **record)
    title = f"Gradients of {model.name}"
    remark = f"{model.family} on {model.corpus.name}, updates {updates[0]:,} to {updates[-1]:,}."
    path = write_text(html, gradients_html(figure, title=title, remark=remark))
    return {
        "model": model.name,
        "records": len(updates),
        "first_update": int(updates[0]),
        "last_update": int(updates[-1]),
        "entries": len(record["entry"]),
        "tensors": len(names),
        "file": str(path),
    }
