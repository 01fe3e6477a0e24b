import csv
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from analysis.ratings.document import all_plots, all_tables, sections
from analysis.ratings.page import report_html
from analysis.ratings.paper import csv_files, latex_files, latex_text, svg_files
from analysis.ratings.parts import Plot, Table
from analysis.ratings.pdf import report_pdf
from analysis.ratings.report import analyse
from analysis.ratings.words import results_words, sensitivity_words

EVIL = "=1+1 \\input{x} $a_b$ & 50 % #~^"


@pytest.fixture(scope="module")
def study(make_study):
    human = {"real": 0.8, "model": 0.4, EVIL: 0.5}
    frame = make_study({"real": 7, "model": 5, EVIL: 6}, n_participants=9, n_pieces=3, seed=4, human=human)
    frame["trial"] = frame.groupby("participant").cumcount() + 1
    frame["confidence"] = 1 + np.arange(len(frame)) % 4
    return frame


@pytest.fixture(scope="module")
def result(study):
    names = sorted(study["piece"].unique())
    scores = pd.DataFrame({"piece": names, "score": np.linspace(0, 1, len(names))})
    votes = [
        (f"p{k}", first, second, "first" if (k + len(first)) % 3 else "second")
        for k in range(9)
        for first, second in (("real", "model"), ("model", EVIL), (EVIL, "real"))
    ]
    votes = pd.DataFrame(votes, columns=["participant", "first", "second", "preferred"])
    return analyse(study, draws=50, scores=scores, comparisons=votes)


def test_every_figure_is_followed_by_its_table_and_names_its_interval(result):
    names = set()
    for section in sections(result):
        for part, following in zip(section.parts, [*section.parts[1:], None], strict=True):
            if isinstance(part, Plot):
                names.add(part.name.split("_")[0])
                assert isinstance(following, Table), part.name
                assert "interval" in part.caption, part.name
                assert "81 ratings of 9 pieces by 9 listeners" in part.caption
    assert names == {f"f{number}" for number in range(1, 12)} | {"preferences"}


def test_tables_are_rectangles_with_at_most_seven_columns(result):
    for table in all_tables(result):
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert len(table.head) <= 7 or table.name == "distribution"
    labels = {table.name.split("_")[0] for table in all_tables(result)}
    assert {"t1", "t2", "t3", "t4", "t5"} <= labels


def test_latex_reads_no_name_as_a_command(result):
    files = latex_files(result)
    for name, text in files.items():
        assert "\\input{x}" not in text, name
        for line in text.splitlines():
            bare = re.sub(r"\\[&%$#_{}]", "", line)
            if not line.endswith(r" \\"):
                bare = bare.replace("&", "")
            assert not re.search(r"[$#%~^<>|]|_(?!\w*})", bare), (name, line)
            assert bare.count("{") == bare.count("}")
    head = next(line for line in files["t2_contrasts.tex"].splitlines() if line.startswith("Contrast &"))
    rows = [line for line in files["t2_contrasts.tex"].splitlines() if line.endswith(r" \\")]
    cells = [len(re.findall(r"(?<!\\)&", row)) for row in rows]
    assert cells == [len(re.findall("&", head))] * 3


def test_latex_text_keeps_what_is_meant():
    assert latex_text("5 % of [a_b]") == r"5 \% of {[}a\_b{]}"


def test_csv_has_every_cell_and_none_that_runs(result):
    files = csv_files(result)
    for table in all_tables(result):
        head, *rows = csv.reader(io.StringIO(files[f"{table.name}.csv"]))
        assert tuple(head) == table.head
        assert len(rows) == len(table.rows)
        for row in rows:
            assert not any(re.match(r"[=@]|[+-]\D", cell) for cell in row), row
    assert "'=1+1" in files["t1_conditions.csv"]


def test_every_figure_is_a_drawing_that_says_what_it_shows(result):
    files = svg_files(result)
    for plot in all_plots(result):
        text = files[f"{plot.name}.svg"]
        root = ET.fromstring(text)
        assert root.tag.endswith("svg")
        assert plot.caption.split(".")[0].replace("&", "&amp;") in text
    assert files == svg_files(result)


def test_the_pdf_has_its_title_and_every_heading(result, study):
    data = report_pdf(result, study, title="Short pieces")
    assert data.startswith(b"%PDF")
    assert b"/Outlines" in data
    assert b"/Lang (en)" in data
    assert b"/StructTreeRoot" in data
    assert len(re.findall(rb"/Type /Page\b(?!s)", data)) >= 5


def test_simulated_listeners_are_named_in_every_form(study):
    made_up = analyse(study.assign(simulated=1), draws=50)
    assert "Simulated listeners. No person" in results_words(made_up)
    for name, text in latex_files(made_up).items():
        assert "Simulated listeners" in text or name == "methods.tex"
    for text in csv_files(made_up).values():
        assert text.splitlines()[0].endswith("simulated")
    for text in svg_files(made_up).values():
        assert "Simulated listeners" in text
    assert "Simulated listeners." in report_html(made_up)
    plain = report_pdf(made_up)
    assert len(plain) > len(report_pdf(analyse(study, draws=50)))


def test_no_form_claims_significance_or_sameness(make_study):
    """Without effect and interval no significance, without the test of equivalence no sameness."""
    weak = analyse(make_study({"real": 5.2, "model": 5}, n_participants=6, n_pieces=3, seed=5), draws=50)
    texts = [*latex_files(weak).values(), *csv_files(weak).values(), report_html(weak).split("</script>")[-1]]
    for text in texts:
        assert not re.search(r"significan|no difference|as good as|\bequal to\b|liked as much", text)
    assert "inconclusive" in results_words(weak)


def test_analyses_that_disagree_are_named(result):
    rows = [
        {**row, "finding": "higher" if row["method"] == "Welch by piece" else "lower"}
        for row in result["sensitivity"]
    ]
    (first, *_) = sensitivity_words({**result, "sensitivity": rows})
    assert "6 of 7 analyses place it lower" in first
    assert first.endswith("not so Welch by piece.")
