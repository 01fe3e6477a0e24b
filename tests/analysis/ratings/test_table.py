import os
from pathlib import Path

import pandas as pd
import pytest

from analysis.ratings.table import (
    COLUMNS,
    RatingsError,
    check_ratings,
    in_fixed_order,
    judgements,
    read_ratings,
    spreadsheet_safe,
    with_piece_ids,
)

HEADER = "participant,piece,condition,rating"


@pytest.fixture
def read(tmp_path):
    def read_text(text, **settings):
        path = tmp_path / "ratings.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        return read_ratings(path, **settings)

    return read_text


def test_a_plain_table_has_all_columns_and_the_lines_of_its_file(read):
    table = read(f"{HEADER}\nann,fugue,real,7\nbob,fugue,real,10\n")
    assert tuple(table.columns) == COLUMNS
    assert table.index.tolist() == [2, 3]
    assert table["rating"].tolist() == [7, 10]
    assert table["repeat"].tolist() == [0, 0]
    assert table["judged_human"].isna().all()


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\nann,fugue,real,7\n",
        "participant;piece;condition;rating\nann;fugue;real;7\n",
        "participant\tpiece\tcondition\trating\r\nann\tfugue\treal\t7\r\n",
        "sep=;\r\nparticipant;piece;condition;rating\r\nann;fugue;real;7\r\n",
        ' Participant , PIECE ,Condition,"Rating"\n ann , fugue ,real, 7 \n\n',
        "condition,note,rating,piece,participant\nreal,left out,7.0,fugue,ann\n",
        f"{HEADER},\nann,fugue,real,7,\n",
    ],
)
def test_every_way_in_which_spreadsheets_write_a_table_reads_the_same(read, text):
    table = read(text)
    assert table[["participant", "piece", "condition", "rating"]].to_numpy().tolist() == [
        ["ann", "fugue", "real", 7]
    ]


def test_optional_columns_take_the_words_of_their_writers(read):
    table = read(
        f"{HEADER},judged_human,confidence,familiar,repeat,listened_seconds,answered_at,excluded,simulated\n"
        "a,x,m,1,1,4,known,0,20.5,2026-01-31T12:00:00Z,0,0\n"
        "b,x,m,2,false,,new,False,,2026-01-31T14:00:00+02:00,,\n"
        "c,x,m,3,machine,NA,familiar,,3,2026-01-31,failed_attention,no\n"
        "d,x,m,4,,,,,,,1,no\n"
    )
    assert table["judged_human"].tolist()[:3] == [True, False, False]
    assert pd.isna(table["judged_human"].iloc[3])
    assert table["familiar"].tolist() == ["known", "new", "familiar", ""]
    assert table["excluded"].tolist() == ["", "", "failed_attention", "excluded"]
    assert table["answered_at"].iloc[0] == table["answered_at"].iloc[1]
    assert judgements(table)["participant"].tolist() == ["b", "c"]


def test_numbered_familiarity_is_known_in_two_levels_and_graded_in_three(read):
    two = read(f"{HEADER},familiar\na,x,m,1,0\nb,x,m,2,1\n")
    three = read(f"{HEADER},familiar\na,x,m,1,0\nb,x,m,2,1\nc,x,m,2,2\n")
    assert two["familiar"].tolist() == ["new", "known"]
    assert three["familiar"].tolist() == ["new", "familiar", "known"]


def test_decimal_commas_are_read_where_semicolons_divide(read):
    table = read("participant;piece;condition;rating;listened_seconds\na;x;m;5;12,5\n")
    assert table["listened_seconds"].tolist() == [12.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEADER, "no rows"),
        (
            "participant,piece,condition,ratings\na,x,m,5\n",
            "no column 'rating'; did you mean 'ratings' for 'rating'",
        ),
        ("a,x,m,5\nb,x,m,6\n", "no column 'participant' or 'piece' or 'condition' or 'rating'"),
        (f"{HEADER}\na,x,m,0\n", r"line 2: rating is '0'; a rating is a whole number from 1 to 10"),
        (f"{HEADER}\na,x,m,5\nb,x,m,11\n", "line 3: rating is '11'"),
        (f"{HEADER}\na,x,m,7.5\n", "line 2: rating is '7.5'"),
        (f"{HEADER}\na,x,m,\n", "line 2: rating is empty"),
        (f"{HEADER}\na,x,m,good\nb,x,m,good\n", r"line 2 \(and 1 more rows\): rating is 'good'"),
        (f"{HEADER}\na,x,m,1e400\n", "rating is '1e400'"),
        (f"{HEADER}\na,x,m,５\n", "rating is '５'"),
        (f"{HEADER}\n ,x,m,5\n", "line 2: participant is empty"),
        (f"{HEADER}\na,{'x' * 501},m,5\n", "at most 500 characters"),
        (
            f"{HEADER}\na,x,m,5\na,x,m,6\n",
            "line 3: participant 'a' rates piece 'x' of condition 'm' again .first on line 2",
        ),
        (f"{HEADER}\na,x,m\n", "line 2 has 3 cells, the first line has 4"),
        (f'{HEADER}\na,"x,m,5\n', "is no CSV"),
        (f"{HEADER},rating\na,x,m,5,6\n", "column 'rating' stands there twice"),
        (
            f"{HEADER},judged_human\na,x,m,5,2\n",
            "line 2: judged_human is '2'; it is 1 for human, 0 for machine",
        ),
        (f"{HEADER},listened_seconds\na,x,m,5,-1\n", "listened_seconds is '-1'"),
        (f"{HEADER},listened_seconds\na,x,m,5,inf\n", "listened_seconds is 'inf'"),
        (f"{HEADER},repeat\na,x,m,5,0.5\n", "repeat is '0.5'"),
        (f"{HEADER},answered_at\na,x,m,5,yesterday\n", "answered_at is 'yesterday'"),
        (f"{HEADER},role\na,x,m,5,fake\n", "it is one of real, generated, low_anchor"),
        (
            f"{HEADER},role\na,x,m,5,real\nb,x,m,5,generated\n",
            "line 3: condition 'm' is 'generated' here and 'real' before",
        ),
        ("Björn,x\n".encode("latin-1"), "line 1 has byte 0xf6, which is no UTF-8"),
        (f"{HEADER}\na,x,m,5\n".encode("utf-16"), "no UTF-8 text"),
        (b"PK\x03\x04\x00\x00\x00", "a spreadsheet file"),
    ],
)
def test_a_wrong_table_is_refused_with_row_value_and_what_would_be_right(read, text, message):
    with pytest.raises(RatingsError, match=message):
        read(text)


def test_too_large_a_file_is_refused_before_it_is_read(read):
    with pytest.raises(RatingsError, match="has 54 bytes; a table of ratings has at most 50"):
        read(f"{HEADER}\na,x,m,5\nb,x,m,5\nab\n", max_bytes=50)
    with pytest.raises(RatingsError, match="more than 2 rows"):
        read(f"{HEADER}\na,x,m,5\nb,x,m,5\nc,x,m,5\n", max_rows=2)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RatingsError, match=r"nowhere\.csv"):
        read_ratings(tmp_path / "nowhere.csv")
    with pytest.raises(RatingsError, match="no file that can be read"):
        read_ratings(tmp_path)


def test_second_hearings_are_no_duplicates_and_third_ones_are_numbered(read):
    rows = f"{HEADER},repeat\na,x,m,5,0\na,x,m,6,1\n"
    assert read(rows)["repeat"].tolist() == [0, 1]
    assert read(rows + "a,x,m,6,2\n")["repeat"].tolist() == [0, 1, 2]
    with pytest.raises(RatingsError, match="third ones with 2"):
        read(rows + "a,x,m,6,1\n")


def test_a_practice_trial_may_be_heard_again_in_earnest(read):
    rows = read(f"{HEADER},practice\na,x,m,5,1\na,x,m,6,0\na,x,m,4,1\n")
    assert rows["practice"].tolist() == [True, False, True]


def test_the_same_name_in_two_conditions_is_two_pieces(read):
    table = with_piece_ids(read(f"{HEADER}\na,1,m,5\na,1,n,6\na,2,n,6\n"))
    assert table["piece_id"].tolist() == ["m / 1", "n / 1", "2"]
    assert with_piece_ids(table[table["condition"] == "n"])["piece_id"].tolist() == ["n / 1", "2"]


def test_a_piece_that_is_called_like_another_ones_full_name_stays_itself(read):
    table = with_piece_ids(read(f"{HEADER}\na,1,m,5\na,1,n,6\na,m / 1,n,6\n"))
    assert table["piece_id"].nunique() == 3


def test_names_that_look_like_numbers_or_are_any_script_stay_as_they_are(read):
    table = read(f"{HEADER}\n007,1.50,モデル,5\nNA,🎵,real,6\n")
    assert table["participant"].tolist() == ["007", "NA"]
    assert table["piece"].tolist() == ["1.50", "🎵"]
    assert table["condition"].tolist() == ["モデル", "real"]


def test_checking_twice_changes_nothing_and_leaves_the_input_alone(read):
    frame = pd.DataFrame(
        {
            "participant": [1.0, 2.0],
            "piece": ["x", "x"],
            "condition": ["m", "m"],
            "rating": [5.0, 6.0],
            "judged_human": [True, None],
            "familiar": ["new", None],
            "answered_at": pd.to_datetime(["2026-01-31T12:00:00Z", None]),
        }
    )
    before = frame.copy(deep=True)
    once = check_ratings(frame)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(check_ratings(once), once)
    assert once["participant"].tolist() == ["1", "2"]


def test_rows_of_a_frame_are_counted_from_one(read):
    frame = pd.DataFrame(
        {"participant": ["a", "b"], "piece": ["x", "x"], "condition": ["m", "m"], "rating": [5, 12]}
    )
    with pytest.raises(RatingsError, match=r"^row 2: rating is '12'"):
        check_ratings(frame)


def test_the_fixed_order_forgets_how_the_rows_came(make_study):
    table = check_ratings(make_study({"m": 5, "n": 6}))
    pd.testing.assert_frame_equal(in_fixed_order(table), in_fixed_order(table.sample(frac=1, random_state=1)))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\t=1", " =cmd()"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(cell):
    assert spreadsheet_safe(cell) == "'" + cell


def test_other_cells_stay_as_they_are():
    assert [spreadsheet_safe(cell) for cell in ("fugue", -1, 2.5, None)] == ["fugue", -1, 2.5, None]


def test_what_is_no_file_is_refused_and_never_read_to_an_end_that_does_not_come(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(RatingsError, match="no file that can be read to its end"):
            read_ratings(path)
