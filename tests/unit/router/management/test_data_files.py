import io
import json
import pathlib
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.dataset.problems import Problem
from dialplan.dataset.reader import AnyRawRow
from dialplan.kinds.registry import RowKind
from router.config import limits
from router.management import data_files as files
from tests.samples import campaign, company, flow, held, number

Reader = Callable[[str | bytes, str], tuple[list[AnyRawRow], list[Problem]]]


@pytest.fixture
def read(tmp_path: pathlib.Path) -> Reader:
    def use(content: str | bytes, name: str) -> tuple[list[AnyRawRow], list[Problem]]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        rows, problems = files.read_files([str(path)])
        assert all(each.file == str(path) and each.text and each.hint for each in problems)
        assert all(row.place.file == str(path) for row in rows)
        return rows, problems

    return use


def values(rows: list[AnyRawRow]) -> list[tuple[str, dict[str, Any]]]:
    return [(str(row.kind), row.values) for row in rows]


TOML = '[[companies]]\nid = "acme"\n[[numbers]]\nnumber = "020"\n[[numbers]]\nname = "x"\n'
JSON = '{"companies": [{"id": "acme"}], "numbers": [{"number": "020"}, {"name": "x"}]}'
THREE = [("companies", {"id": "acme"}), ("numbers", {"number": "020"}), ("numbers", {"name": "x"})]


@pytest.mark.parametrize(("content", "name"), [(TOML, "a.toml"), (JSON, "a.json"), (JSON, "a.data"), (TOML, "a")])
def test_toml_and_json_have_the_same_shape(read: Reader, content: str, name: str) -> None:
    rows, problems = read(content, name)
    assert problems == []
    assert values(rows) == THREE
    assert [row.place.entry for row in rows] == ['companies[1] "acme"', 'numbers[1] "020"', "numbers[2]"]


@pytest.mark.parametrize(("content", "name"), [(TOML, "a.toml"), (JSON, "a.json"), ("number\n020\n", "a.csv")])
def test_a_byte_order_mark_and_line_ends_of_windows_are_nothing_special(read: Reader, content: str, name: str) -> None:
    rows, problems = read(b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode(), name)
    assert problems == []
    assert ("numbers", {"number": "020"}) in values(rows)


@pytest.mark.parametrize("content", [TOML, JSON, "\ufeff" + JSON])
def test_standard_input_is_a_file_too(content: str) -> None:
    rows, problems = files.read_files(["-"], io.BytesIO(content.encode()))
    assert problems == []
    assert values(rows) == THREE
    assert rows[0].place.file == "standard input"


@pytest.mark.parametrize(
    "content",
    [
        "number,company\n020,acme\n",
        "\ufeffnumber,company\r\n020,acme\r\n",
        'company ,"number"\nacme,020\n',
        "number,company,parameters.TEXT\n020,acme,\n",
    ],
)
def test_csv_on_standard_input_is_told_by_its_heading(content: str) -> None:
    rows, problems = files.read_files(["-"], io.BytesIO(content.encode()))
    assert problems == []
    ((kind, found),) = values(rows)
    assert (kind, sorted(found.items())) == ("numbers", [("company", "acme"), ("number", "020")])
    assert rows[0].place.entry == 'line 2 "020"'


SAME_CELLS = [
    "number,company,name\n020,acme,Front; desk\n",
    "number;company;name\n020;acme;Front; desk\n".replace("Front; desk", '"Front; desk"'),
    "number\tcompany\tname\n020\tacme\tFront; desk\n",
    "NUMBER;Company; Name \n020; acme ;'Front; desk'\n".replace("'", '"'),
    'sep=;\n"Number";"COMPANY";"name"\n"020";"acme";"Front; desk"\n',
    "\ufeffsep=\t\r\nnumber\tcompany\tname\r\n020\tacme\tFront; desk\r\n",
    "number,company,name,,\n020,acme,Front; desk,,\n",
    "number,company,city,name\n020,acme,\u00a0 ,Front; desk\n",
]


@pytest.mark.parametrize("content", SAME_CELLS)
def test_csv_is_read_as_spreadsheets_write_it(read: Reader, content: str) -> None:
    for found, problems in (read(content, "a.csv"), files.read_files(["-"], io.BytesIO(content.encode()))):
        assert problems == []
        (row,) = found
        assert row.values == {"number": "020", "company": "acme", "name": "Front; desk"}
        assert row.place.entry == f'line {content.count(chr(10))} "020"'


def test_a_parameters_heading_and_cells_are_read_as_its_name_and_value(read: Reader) -> None:
    rows, problems = read("Number;PARAMETERS.language;parameters.TEXT;parameters.X\n020; en ; \t;\u3000\n", "a.csv")
    assert problems == []
    assert [row.values for row in rows] == [{"number": "020", "parameters": {"LANGUAGE": "en"}}]


@pytest.mark.parametrize("heading", ["number;Number", "number;parameters.A;Parameters.a"])
def test_a_column_that_is_there_twice_but_for_its_capitals_is_refused(read: Reader, heading: str) -> None:
    rows, (problem,) = read(f"{heading}\n", "a.csv")
    assert rows == []
    assert "twice" in problem.text


def test_a_cell_without_a_heading_is_not_lost(read: Reader) -> None:
    rows, _ = read("number,,\n020,,x\n", "a.csv")
    assert [row.values for row in rows] == [{"number": "020", "column 3": "x"}]


@pytest.mark.parametrize(("delimiter", "shown"), [(",", '","'), (";", '";"'), ("\t", '"\\t"')])
def test_a_line_with_too_many_cells_says_what_to_put_in_quotes(read: Reader, delimiter: str, shown: str) -> None:
    _, (problem,) = read(f"number{delimiter}name\n020{delimiter}a{delimiter}b\n", "a.csv")
    assert problem.hint == f"put cells that hold {shown} in quotes"


def test_null_is_an_absent_field_wherever_it_stands(read: Reader) -> None:
    wanted = {"number": "020", "parameters": {"A": "x"}, "updates": [{"at": "2026-12-24T17:00:00"}]}
    nothing = dict.fromkeys(
        ("kind", "company", "line_type", "city", "name", "description", "status", "call_flow", "callback_rule")
    )
    update = {"at": "2026-12-24T17:00:00", "call_flow": None, "parameters": None}
    given = wanted | nothing | {"parameters": {"A": "x", "B": None}, "updates": [update]}
    rows, problems = read(json.dumps({"numbers": [given], "companies": None}), "a.json")
    assert problems == []
    assert [row.values for row in rows] == [wanted]
    _, (problem,) = read('{"numbers": [{"number": null, "number": "020"}]}', "a.json")
    assert "stands twice" in problem.text


@pytest.mark.parametrize("content", ["number|company\n020|acme\n", "name,company\nx,acme\n", "[{}]"])
def test_what_no_form_has_is_told_with_how_each_begins(content: str) -> None:
    rows, (problem,) = files.read_files(["-"], io.BytesIO(content.encode()))
    assert rows == []
    assert problem.hint.endswith("JSON begins with {, CSV with a line of field names such as number,company")


@pytest.mark.parametrize("content", ['numbers = [{ number = "020" }]\n', '"numbers" = [{ number = "020" }]\n'])
def test_toml_is_not_taken_for_csv(read: Reader, content: str) -> None:
    assert [row.values for row in read(content, "a")[0]] == [{"number": "020"}]


def test_several_files_are_one_set_in_their_order(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.toml").write_text('[[companies]]\nid = "acme"\n')
    (tmp_path / "b.csv").write_text("number\n020\n")
    rows, problems = files.read_files([str(tmp_path / "b.csv"), str(tmp_path / "a.toml"), str(tmp_path / "no.toml")])
    assert [row.kind for row in rows] == [RowKind.NUMBER, RowKind.COMPANY]
    assert [(each.file, each.entry) for each in problems] == [(str(tmp_path / "no.toml"), "")]


@pytest.mark.parametrize(
    ("content", "name", "entry", "text"),
    [
        ("[[companies]", "a.toml", "", "line 1"),
        ("a = 1\na = 2", "a.toml", "", "overwrite"),
        ("x = " + "9" * 5000, "a.toml", "", "thousands of digits"),
        ("{", "a.json", "", "line 1, column 2"),
        ('{"numbers": [{"name": "a", "name": "b"}]}', "a.json", "numbers[1]", '"name" stands twice'),
        ('{"numbers": [], "numbers": []}', "a.json", "", '"numbers" stands twice'),
        ('{"numbers": [' + "9" * 5000 + "]}", "a.json", "", "thousands of digits"),
        ("[" * 100_000, "a.json", "", "deeply"),
        ("a = " + "[" * 100_000, "a.toml", "", "deeply"),
        ("[]", "a.json", "", "not a table of sections"),
        ('"text"', "a.json", "", "not a table of sections"),
        ("[[number]]\n", "a.toml", "", 'section "number" is not known'),
        ("numbers = 5", "a.toml", "", "not a list"),
        ("[numbers]\nnumber = '020'", "a.toml", "", "not a list"),
        ('{"numbers": [5]}', "a.json", "numbers[1]", "not a table"),
        (b"\xff\xfe", "a.toml", "", "byte 0 is not UTF-8"),
        ("", "a.csv", "line 1", 'no column "number"'),
        ("name\nx\n", "a.csv", "line 1", 'no column "number"'),
        ("number,number\n1,2\n", "a.csv", "line 1", "twice"),
        ('number\n"020\n', "a.csv", "line 2", "unexpected end"),
        ("number,parameters,parameters.X\n020,a,b\n", "a.csv", "line 1", 'a cell cannot hold "parameters"'),
        ("number,updates\n020,x\n", "a.csv", "line 1", 'a cell cannot hold "updates"'),
        ("number,name\n020\n", "a.csv", "line 2", "too few cells: 1 under 2 columns"),
        ("number\n" + "0" * 200_000, "a.csv", "line 2", "limit"),
    ],
)
def test_what_cannot_be_rows_is_told_with_its_place(
    read: Reader, content: str | bytes, name: str, entry: str, text: str
) -> None:
    rows, problems = read(content, name)
    assert rows == []
    (problem,) = problems
    assert problem.entry == entry
    assert text in problem.text


def test_a_key_that_stands_twice_is_told_where_it_stands(read: Reader) -> None:
    rows, problems = read(
        '{"numbers": [{"number": "020", "parameters": {"A": 1, "A": 2}, "updates": [{}, {"at": 1, "at": 2}]},'
        ' {"number": "021"}]}',
        "a.json",
    )
    assert [row.values["number"] for row in rows] == ["021"]
    assert [(each.entry, each.field, each.arguments["key"]) for each in problems] == [
        ('numbers[1] "020"', "parameters", "A"),
        ('numbers[1] "020"', "updates[2]", "at"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.toml", "numbers = 5", "write [[numbers]] before each"),
        ("a.json", '{"numbers": {}}', 'write "numbers": [ { … }, { … } ]'),
    ],
)
def test_how_to_write_a_list_is_said_as_the_file_has_it(read: Reader, name: str, content: str, hint: str) -> None:
    _, (problem,) = read(content, name)
    assert problem.hint == hint


def test_a_column_that_csv_does_not_have_is_told_once_with_those_that_it_has(read: Reader) -> None:
    rows, (misspelt, unknown) = read("number,desciption,colour\n020,a,b\n021,a,b\n", "a.csv")
    assert rows == []
    assert (misspelt.entry, misspelt.text) == ("line 1", 'the column "desciption" is not known')
    assert misspelt.hint == 'did you mean "description"?'
    known = unknown.hint.removeprefix("known are ").split(", ")
    assert "parameters.NAME" in known
    assert not {"parameters", "updates"} & set(known)


def test_too_few_cells_and_too_many_have_each_a_hint_of_their_own(read: Reader) -> None:
    _, (few, many) = read("number,name,city\n020,x\n021,x,y,z\n", "a.csv")
    assert (few.text, few.hint) == ("too few cells: 2 under 3 columns", 'write a "," for each cell, an empty one too')
    assert (many.text, many.hint) == ("too many cells: 4 under 3 columns", 'put cells that hold "," in quotes')


def test_one_bad_entry_does_not_hide_the_others(read: Reader) -> None:
    rows, problems = read(
        '{"numbers": [5, {"number": "020"}], "nmbers": [], "companies": [{"id": "a"}, null]}', "a.json"
    )
    assert [row.kind for row in rows] == [RowKind.NUMBER, RowKind.COMPANY]
    assert [each.entry for each in problems] == ["numbers[1]", "", "companies[2]"]
    rows, problems = read("number,name\n020\n021,x\n\n022,y,z\n023,w\n", "a.csv")
    assert [row.values["number"] for row in rows] == ["021", "023"]
    assert [each.entry for each in problems] == ["line 2", "line 5"]


def test_a_file_larger_than_the_bound_is_refused(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "DATA_FILE_MAX_BYTES", 10)
    assert limits.DATA_FILE_MAX_BYTES > 10
    rows, problems = read("# comment 2", "a.toml")
    assert rows == []
    assert problems[0].hint == "load it in parts"


def test_a_folder_is_no_file(tmp_path: pathlib.Path) -> None:
    rows, (problem,) = files.read_files([str(tmp_path)])
    assert rows == []
    assert "directory" in problem.text


def test_csv_names_the_line_and_the_number(read: Reader) -> None:
    rows, _ = read('number,name\n020,"two\nlines"\n021,x\n', "a.csv")
    assert [row.place.entry for row in rows] == ['line 3 "020"', 'line 4 "021"']


def test_csv_cells_become_fields_and_parameters(read: Reader) -> None:
    text = 'number, name ,parameters.GREETING,parameters.COUNT,city\n 020 , Front desk ," Hello, you ",5,\n'
    ((_, found),) = values(read(text, "a.CSV")[0])
    assert found == {"number": "020", "name": "Front desk", "parameters": {"GREETING": "Hello, you", "COUNT": "5"}}


# --- writing --------------------------------------------------------------------------------------------------------

STORE = held(
    company(default_flow="menu"),
    flow("menu", parameters=[{"name": "A", "type": "choice", "choices": ['"', "\\", "é"], "default": "\\"}]),
    campaign("ring", direction="outbound", caller_ids=["02079460000"]),
    number(
        call_flow="menu",
        name='say "yes", \\ or #no',
        parameters={"A": "\\"},
        updates=[{"at": "2026-12-24T17:00:00", "call_flow": "menu", "parameters": {}}],
    ),
    number("02079460001"),
)


def written(*, as_json: bool) -> str:
    rows = ((kind, row) for kind in RowKind for row in STORE.rows(kind))
    return "".join(files.write(rows, as_json=as_json))


def test_toml_and_json_say_the_same_set() -> None:
    in_json = json.loads(written(as_json=True))
    assert in_json.pop("end") == {"companies": 1, "call_flows": 1, "campaigns": 1, "numbers": 2}
    assert tomllib.loads(written(as_json=False)) == in_json


def test_a_set_of_more_rows_than_are_written_at_once_is_one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    in_one = tomllib.loads(written(as_json=False))
    monkeypatch.setattr(files, "_ROWS_AT_ONCE", 1)
    assert tomllib.loads(written(as_json=False)) == in_one


TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"\\'#=\n\x00\x7f\u2028{}[]"), max_size=9)
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_whatever_a_row_holds_is_read_back_from_toml(values: dict[str, Any]) -> None:
    text = "".join(files.write(iter([(RowKind.NUMBER, values)] * 2), as_json=False))  # type: ignore[list-item] # plain
    assert tomllib.loads(text) == {"numbers": [values, values]}


def test_every_entry_stays_whole_in_toml() -> None:
    found = tomllib.loads(written(as_json=False))
    assert list(found) == ["companies", "call_flows", "campaigns", "numbers"]
    assert found["call_flows"][0]["destination"] == {"context": "flow-menu", "exten": "s", "priority": 1}
    assert found["numbers"][0]["updates"] == [{"at": "2026-12-24T17:00:00Z", "call_flow": "menu", "parameters": {}}]
    assert found["numbers"][0]["name"] == 'say "yes", \\ or #no'


def test_json_has_one_row_a_line_so_that_dumps_can_be_compared() -> None:
    lines = written(as_json=True).splitlines()
    assert sum(line.startswith('{"') and line.endswith(("}", "},", "}],", "}]}")) for line in lines) == 5


def test_what_stands_at_its_default_is_left_out() -> None:
    assert tomllib.loads(written(as_json=False))["numbers"][1] == {"number": "+442079460001", "company": "acme"}


def test_an_empty_set_is_a_file_too(read: Reader) -> None:
    for as_json, name in ((True, "a.json"), (False, "a.toml")):
        assert read("".join(files.write(iter(()), as_json=as_json)), name) == ([], [])
