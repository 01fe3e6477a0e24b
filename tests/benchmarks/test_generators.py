import subprocess
import sys
from pathlib import Path

from benchmarks.generators import all_works, chosen
from benchmarks.measuring import Work

ROOT = Path(__file__).parent.parent.parent


def named(*names: str) -> list[Work]:
    return [Work(name, "note", "slowly", 1.0, lambda: (1.0, 1.0)) for name in names]


def test_works_are_chosen_by_family_or_by_the_beginning_of_their_name():
    found = {"biaxial": named("biaxial, 64 pieces", "biaxial, 1 piece"), "gan": named("gan, training")}
    assert len(chosen(found, [])) == 3
    assert len(chosen(found, ["biaxial"])) == 2
    assert [work.name for work in chosen(found, ["biaxial, 1"])] == ["biaxial, 1 piece"]
    assert chosen(found, ["vae"]) == []


def test_every_module_of_works_can_be_read_and_promises_a_ratio():
    found, broken = all_works()
    assert broken == {}
    assert all(work.bar > 0 and work.unit and work.baseline for each in found.values() for work in each)


def test_a_name_that_no_work_has_is_told(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "generators.py", "nonesuch"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no work is named nonesuch" in done.stderr
    assert "Traceback" not in done.stderr
