"""``gradients``: the record of a training as a page."""

import io

import numpy as np
import pytest
from django.core.management import CommandError

from tests.studies.catalog.material import run_command, run_json

pytestmark = pytest.mark.django_db

_file = io.BytesIO()
np.save(_file, np.zeros(3))
ONE_ARRAY = _file.getvalue()  # a file of numpy, but not of several named arrays


def test_the_page_is_written_and_told_of(gru, tmp_path):
    page = tmp_path / "pages" / "gradients.html"
    document = run_json("gradients", "gru", "--html", page)
    assert document["file"] == str(page)
    assert (document["model"], document["records"]) == ("gru", 1)
    assert (document["first_update"], document["last_update"]) == (0, 0)
    assert document["entries"] > document["tensors"] > 3
    text = page.read_text()
    assert "<h1>Gradients of gru</h1>" in text
    assert "readout: weights" in text
    assert f"Page: {page}" in run_command("gradients", "gru", "--html", page)


def test_a_model_without_a_record_says_how_to_make_one(gru, tmp_path):
    (gru.folder / "gradients.npz").unlink()
    with pytest.raises(CommandError, match=r"'gru' has no record of gradients; .* --gradients-every N"):
        run_command("gradients", "gru", "--html", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY", ONE_ARRAY])
def test_a_damaged_record_is_named(content, gru, tmp_path):
    (gru.folder / "gradients.npz").write_bytes(content)
    with pytest.raises(CommandError, match=r"gradients\.npz is damaged"):
        run_command("gradients", "gru", "--html", tmp_path / "page.html")


def test_a_misspelt_model_and_an_unwritable_page_are_refused(gru, tmp_path):
    with pytest.raises(CommandError, match="no model named 'gruu'; did you mean gru"):
        run_command("gradients", "gruu", "--html", tmp_path / "page.html")
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="cannot make the folder"):
        run_command("gradients", "gru", "--html", tmp_path / "file" / "page.html")
