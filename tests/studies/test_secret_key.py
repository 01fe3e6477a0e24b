import stat
from concurrent.futures import ThreadPoolExecutor

from studies.secret_key import read_or_make_secret_key


def test_the_first_run_makes_a_key_that_only_its_owner_reads(tmp_path):
    key = read_or_make_secret_key(tmp_path / "data")
    assert len(key) >= 64
    assert stat.S_IMODE((tmp_path / "data" / "secret_key").stat().st_mode) == 0o600


def test_later_runs_keep_the_key(tmp_path):
    assert read_or_make_secret_key(tmp_path) == read_or_make_secret_key(tmp_path)


def test_two_installations_have_two_keys(tmp_path):
    assert read_or_make_secret_key(tmp_path / "one") != read_or_make_secret_key(tmp_path / "two")


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: read_or_make_secret_key(tmp_path), range(64)))
    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]
