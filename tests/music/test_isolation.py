import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from music import isolation
from music.isolation import read_score_isolated, read_scores
from music.limits import ReadLimits
from music.midi import score_to_midi, write_midi
from music.score import Key, Meter, MusicError, Note, Score, ScoreError, Tempo, Track

ROOT = Path(__file__).resolve().parents[2]

# Stands for a parser with a flaw that a file can trigger.
FLAWED = """
import music.isolation as isolation
def flawed(data, suffix, *, parse=isolation.parse_piece, **options):
    if b"hang" in data:
        while True: pass
    if b"crash" in data:
        import os; os.abort()
    if b"leave" in data:
        import os; os._exit(3)
    if b"memory" in data:
        return [0] * 10**10
    if b"print" in data:
        print("chatter" * 100, flush=True)
    return parse(data, suffix, **options)
isolation.parse_piece = flawed
isolation.work()
"""

SCORE = Score(
    (Track((Note(0, 60, 480, 70),), 5, name="Lead"), Track((Note(3, 36, 1, 127),), is_drum=True)),
    ticks_per_beat=960,
    tempos=(Tempo(0, 400_000),),
    meters=(Meter(0, 6, 8),),
    keys=(Key(0, 2, True),),
    title="Piece",
)


@pytest.fixture
def flawed_parser(monkeypatch):
    monkeypatch.setattr(isolation, "_BOOTSTRAP", FLAWED)


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()}


def test_pieces_come_in_order_with_everything_they_have(tmp_path):
    paths = [write_midi(SCORE, tmp_path / f"{n}.mid") for n in range(150)]
    (tmp_path / "70.mid").write_bytes(b"junk")
    results = list(read_scores(paths, workers=2))
    assert [path for path, _ in results] == paths
    refused = [path.name for path, result in results if isinstance(result, ScoreError)]
    assert refused == ["70.mid"]
    _, first = results[0]
    assert first == SCORE
    assert (first.title, first.tracks[0].name) == ("Piece", "Lead")


def test_a_hang_a_crash_and_a_full_memory_cost_their_own_file_only(tmp_path, flawed_parser):
    names = ["fine0", "hang", "fine1", "crash", "leave", "memory", "fine2", "print", "fine3"]
    paths = []
    for name in names:
        path = tmp_path / f"{name}.mid"
        path.write_bytes(score_to_midi(SCORE, text=name))
        paths.append(path)
    before = children()
    results = {path.stem: result for path, result in read_scores(paths, timeout_seconds=1.5, workers=2)}
    assert list(results) == names
    for name in ("fine0", "fine1", "fine2", "fine3", "print"):
        assert results[name] == SCORE
    assert "longer than 1.5 seconds" in str(results["hang"])
    assert "crashed (SIGABRT)" in str(results["crash"])
    assert "gave up (status 3)" in str(results["leave"])
    assert "more memory" in str(results["memory"])
    assert children() == before


def test_leaving_half_way_ends_the_workers(tmp_path):
    paths = [write_midi(SCORE, tmp_path / f"{n}.mid") for n in range(20)]
    before = children()
    reading = read_scores(paths, workers=2)
    next(reading)
    assert children() > before
    reading.close()
    assert children() == before


def test_files_that_need_no_parser_are_refused_without_one(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "_BOOTSTRAP", "raise SystemExit(1)")
    results = list(read_scores([tmp_path / "missing.mid"]))
    assert "there is no file" in str(results[0][1])


def test_workers_that_cannot_start_are_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(isolation, "_BOOTSTRAP", "raise SystemExit(7)")
    with pytest.raises(MusicError, match="ends with status 7"):
        list(read_scores([write_midi(SCORE, tmp_path / "a.mid")]))


def test_every_tune_of_an_abc_file_is_a_piece(tmp_path):
    path = tmp_path / "tunes.abc"
    path.write_text("X:1\nT:One\nK:C\nCDEF\n\nX:2\nT:Bad\nCDEF\n\nX:3\nT:Three\nK:C\nGABc\n")
    results = list(read_scores([path], workers=1))
    assert [result.title if isinstance(result, Score) else str(result)[:22] for _, result in results] == [
        "One",
        "this is no ABC tune: i",
        "Three",
    ]


def test_an_upload_is_read_by_its_content_and_refused_by_its_size():
    data = score_to_midi(SCORE)
    assert read_score_isolated(data, suffix=".mid") == SCORE
    with pytest.raises(ScoreError, match="at most 10 are read"):
        read_score_isolated(data, suffix=".mid", limits=ReadLimits(max_bytes=10))
    with pytest.raises(ScoreError, match=r"files named \.exe are not read"):
        read_score_isolated(b"MZ", suffix=".exe")


def test_a_worker_sees_no_secrets_of_its_parent(monkeypatch):
    monkeypatch.setenv("EARWITNESS_SECRET_KEY", "hidden")
    monkeypatch.setattr(
        isolation,
        "_BOOTSTRAP",
        "import os, music.isolation as i\n"
        "def parse(*a, **k): raise i.ScoreError(' '.join(sorted(os.environ)))\n"
        "i.parse_piece = parse; i.work()",
    )
    with pytest.raises(ScoreError) as refusal:
        read_score_isolated(b"x", suffix=".mid")
    assert "EARWITNESS_WORKER_MEMORY_MB" in str(refusal.value)
    assert "SECRET" not in str(refusal.value)


def test_ctrl_c_leaves_no_process_behind(tmp_path):
    """The parent is interrupted while a worker hangs; the worker must go too."""
    path = tmp_path / "hang.mid"
    path.write_bytes(score_to_midi(SCORE, text="hang"))
    program = textwrap.dedent(
        f"""
        import os, signal, sys, threading, time
        from pathlib import Path
        import music.isolation as isolation
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts without it
        isolation._BOOTSTRAP = {FLAWED!r}
        def tell():
            children = Path(f"/proc/{{os.getpid()}}/task/{{os.getpid()}}/children")
            while not children.read_text().split(): time.sleep(0.01)
            time.sleep(0.5)
            print(children.read_text(), flush=True)
        threading.Thread(target=tell).start()
        list(isolation.read_scores([{str(path)!r}], timeout_seconds=60))
        """
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all of them
    parent.communicate(timeout=30)
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            break
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
