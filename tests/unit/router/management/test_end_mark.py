"""A dump counts its rows at its end: one that was cut off is known, and what people write needs no such mark."""

import io

import pytest

from dialplan.dataset.problems import Problem
from dialplan.kinds.registry import RowKind
from router.management import data_files as files
from tests.samples import company, flow, held, number

STORE = held(company(), flow("menu"), number(), number("02079460001"))


def dumped(*, as_json: bool = False) -> str:
    return "".join(files.write(((kind, row) for kind in RowKind for row in STORE.rows(kind)), as_json=as_json))


def read(text: str) -> tuple[int, list[Problem]]:
    rows, problems = files.read_files(["-"], io.BytesIO(text.encode()))
    return len(rows), problems


def test_a_dump_says_in_its_first_line_that_its_end_counts_its_rows() -> None:
    first, *_, last = dumped().splitlines()
    assert first == "# A dump of Ringway's. Its last line counts its rows: where that is missing, it was cut off."
    assert last == "# End of the dump: 1 companies, 1 call_flows, 0 campaigns, 2 numbers."


@pytest.mark.parametrize("as_json", [False, True])
def test_a_whole_dump_is_read(as_json: bool) -> None:
    assert read(dumped(as_json=as_json)) == (4, [])


@pytest.mark.parametrize("line_end", ["\r\n", "\n\n", " \n"])
def test_a_dump_that_an_editor_or_a_mail_went_over_is_whole_still(line_end: str) -> None:
    assert read("\ufeff" + dumped().replace("\n", line_end) + "\n\n") == (4, [])


def test_a_dump_is_whole_to_its_last_character_or_told_to_be_cut_off() -> None:
    text = dumped().rstrip()
    first = len(text.partition("\n")[0])
    for length in range(first, len(text)):
        rows, (problem,) = read(text[:length])
        assert (rows, problem.code) == (0, "dump-cut-off"), text[:length]


def test_json_that_is_cut_off_is_no_json() -> None:
    text = dumped(as_json=True).rstrip()
    for length in range(1, len(text)):
        rows, (problem,) = read(text[:length])
        assert (rows, problem.code) == (0, "json-wrong"), text[:length]


def test_a_dump_that_lacks_rows_in_its_middle_is_told() -> None:
    begin, _, end = dumped().rpartition("[[numbers]]")
    text = begin + end[end.index("# End") :]
    _, (problem,) = read(text)
    assert str(problem) == (
        "standard input: its end counts 2 numbers, and it has 1; dump it again; where you took some out, correct the "
        "count"
    )
    cut = dumped(as_json=True).replace('"companies": 1', '"companies": 3')
    assert [each.text for each in read(cut)[1]] == ["its end counts 3 companies, and it has 1"]


def test_rows_that_somebody_added_to_a_dump_are_no_harm() -> None:
    assert read(dumped() + '[[companies]]\nid = "more"\nname = "More"\n') == (5, [])


def test_two_dumps_in_one_file_have_two_ends() -> None:
    assert read(dumped() * 2) == (8, [])
    cut = dumped() + dumped().rpartition("[[numbers]]")[0]
    assert [each.code for each in read(cut)[1]] == ["dump-cut-off"]


def test_what_people_write_needs_no_mark() -> None:
    lines = dumped().splitlines(keepends=True)
    assert read("".join(lines[1:-1])) == (4, [])
    assert read("".join(lines[1:])) == (4, [])
    said = "# not ours: # A dump of Ringway's. # End of the dump: 9 numbers.\n"
    assert read(said + "".join(lines[1:-1])) == (4, [])


@pytest.mark.parametrize(
    "end", ["[1]", "3", '{"numbers": "2"}', '{"numbers": -1}', '{"numbers": true}', '{"numbers": []}']
)
def test_an_end_that_is_no_table_of_counts_is_told(end: str) -> None:
    _, (problem,) = read(f'{{"end": {end}}}')
    assert problem.code == "dump-end-wrong"
    assert read("[end]\nnumbers = 0\n") == (0, [])


@pytest.mark.parametrize(
    "mark", ["# End of the dump: " + "9" * 6000 + " numbers.", "# End of the dump: x.", "# End of the dump: ."]
)
def test_no_mark_breaks_the_reading(mark: str) -> None:
    read(f"# A dump of Ringway's.\n{mark}\n")
