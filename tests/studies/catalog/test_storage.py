"""Files of the catalog are there whole or not at all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.catalog.errors import CatalogError
from studies.catalog.storage import (
    copy_file,
    file_sha256,
    is_there,
    only_one,
    whole_folder,
    within_home,
    writable_folder,
    write_text,
)


def test_a_folder_appears_with_all_its_files(home):
    target = home / "pieces" / "new"
    with whole_folder(target) as draft:
        (draft / "one").write_text("1")
        assert not target.exists()
        (draft / "two").write_text("2")
    assert sorted(path.name for path in target.iterdir()) == ["one", "two"]
    assert list(target.parent.iterdir()) == [target]


def _write_and_fail(target, error):
    with whole_folder(target) as draft:
        (draft / "new").write_text("2")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_nothing_and_takes_nothing(home, error):
    target = home / "pieces" / "there"
    target.mkdir(parents=True)
    (target / "old").write_text("1")
    with pytest.raises(error):
        _write_and_fail(target, error)
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(target.parent.iterdir()) == [target]


def test_drafts_of_dead_processes_are_cleared_and_those_of_today_are_not(home):
    old, young = home / ".draft-old", home / ".draft-young"
    for folder in (old, young):
        folder.mkdir()
    yesterday = time.time() - 2 * 24 * 3600
    os.utime(old, (yesterday, yesterday))
    with whole_folder(home / "new"):
        pass
    assert not old.exists()
    assert young.exists()


def test_one_lock_is_held_once_and_ends_with_its_process(home):
    holder = (
        "import sys, django; from django.conf import settings; from pathlib import Path;"
        "settings.configure(HOME=Path(sys.argv[1]));"
        "from studies.catalog.storage import only_one\n"
        "with only_one('it'): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(CatalogError, match="another process is working on it"), only_one("it"):
        pass
    with only_one("something else"):
        pass
    process.kill()
    process.wait()
    with only_one("it"), pytest.raises(CatalogError), only_one("it"):
        pass


def test_paths_are_kept_without_the_data_folder(home):
    assert within_home(home / "pieces" / "a.mid") == "pieces/a.mid"
    with pytest.raises(ValueError, match="is not in the subpath"):
        within_home(home.parent / "elsewhere.mid")


def test_a_folder_that_cannot_be_made_is_named(home):
    (home / "file").write_text("no folder")
    with pytest.raises(CatalogError, match=r"cannot make the folder .*below: Not a directory"):
        writable_folder(home / "file" / "below")


def test_files_that_cannot_be_read_or_written_are_named(home):
    (home / "folder").mkdir()
    with pytest.raises(CatalogError, match=r"cannot read .*nowhere: No such file"):
        file_sha256(home / "nowhere")
    with pytest.raises(CatalogError, match=r"cannot write .*folder: Is a directory"):
        write_text(home / "folder", "text")
    with pytest.raises(CatalogError, match=r"cannot copy .*nowhere to .*a: No such file"):
        copy_file(home / "nowhere", home / "a")
    assert [path.name for path in home.iterdir()] == ["folder"]


@pytest.mark.parametrize("path", ["", "nowhere", "x" * 5000, "~nobody-has-this-name/x", "a\0b"])
def test_what_no_file_can_be_named_is_not_there(path):
    assert not is_there(path)
    assert is_there(__file__)


def test_a_copy_has_the_same_bytes(home):
    (home / "a").write_bytes(bytes(range(256)))
    assert copy_file(home / "a", home / "b").read_bytes() == bytes(range(256))
    assert file_sha256(home / "a") == file_sha256(home / "b")
