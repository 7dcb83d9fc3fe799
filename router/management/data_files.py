"""Data files: TOML and JSON with the same shape, CSV for numbers alone.

Reads files into raw rows, each with its place, and writes a whole set back out.
"""

import csv
import difflib
import functools
import io
import itertools
import json
import pathlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import msgspec
import tomli_w

from dialplan.dataset.dumped import UNKNOWN, dumped, entry_of
from dialplan.dataset.follow import Follow, unseen
from dialplan.dataset.later import Held
from dialplan.dataset.problems import Fault, Place, Problem, field_name, problem
from dialplan.dataset.reader import AnyRawRow, RawOtherRow, RawRow
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.wording import Code, printable, quote
from router.config.limits import DATA_FILE_MAX_BYTES
from router.management import end_mark

STANDARD_INPUT = "-"
_PARAMETER_COLUMN = "parameters."
_LONG_ROW = {"": "x" * 200}
_ROWS_AT_ONCE = 1_000  # of a dump: some 30 ms of work
_HEADING = re.compile(r'\s*"?\s*\w+(\.\w+)*\s*"?\s*')  # a cell of the first line of CSV
_DELIMITERS = ",;\t"  # what spreadsheets put between cells, by their language
_NAMELESS = "column {}"
_DELIMITER_LINE = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)  # some say first which it is


def read_files(
    names: Sequence[str],
    standard_input: BinaryIO | None = None,
    *,
    whole: bool = False,
    follow: Follow = unseen,
) -> tuple[list[AnyRawRow], list[Problem]]:
    """The rows of all files, in their order, and what could not be made rows of.

    The file "-" is `standard_input`, where that is there. `whole`: the files are to be the whole set; what cannot be
    that is a problem too. `follow` sees how far a file has been read.
    """
    rows: list[AnyRawRow] = []
    problems: list[Problem] = []
    in_csv = []
    for name in names:
        before = len(rows), len(problems)
        try:
            text = _text_of(name, standard_input)
            in_csv.append(name.lower().endswith(".csv") or _is_csv(text))
            found = _from_text(name, text, in_csv=in_csv[-1])
            for each in follow(f"reading {_called(name)}", found, text.count("\n")) if in_csv[-1] else found:
                if isinstance(each, _FileError):
                    problems.append(each.at(name))
                else:
                    rows.append(each)
        except _FileError as error:
            problems.append(error.at(name))
        if whole and before == (len(rows), len(problems)):
            problems.append(_FileError(_NO_ROWS()).at(name))
    if whole and len(in_csv) == len(names) and all(in_csv):
        problems.append(_FileError(_CSV_ALONE()).at(names[0]))
    return rows, problems


class _FileError(Exception):
    def __init__(self, fault: Fault, entry: str = "", field: str = "") -> None:
        self.fault, self.entry, self.field = fault, entry, field
        super().__init__(fault.text)

    def at(self, name: str) -> Problem:
        """This as a problem of the file `name`."""
        return problem(Place(_called(name), self.entry), self.field, self.fault)


_UNREADABLE = Code("file-unreadable", "{why}", "check the name and who may read it")
_STDIN_CLOSED = Code("standard-input-closed", "it is closed", "hand the data over, or name a file")
_TOO_LARGE = Code("file-too-large", "more than {limit} bytes", "load it in parts")
_NOT_UTF8 = Code("file-not-utf8", "byte {place} is not UTF-8", "save it as UTF-8")
_JSON = Code("json-wrong", "{why} (line {line}, column {column})", "correct the JSON")
_JSON_TOO_DEEP = Code("json-too-deep", "nested too deeply", "correct the JSON")
_KEY_TWICE = Code("key-twice", "the key {key!q} stands twice", "keep one of them")
_TOML = Code(
    "toml-wrong",
    "{why}",
    "correct the TOML; JSON begins with {{, CSV with a line of field names such as number,company",
)
_TOML_TOO_DEEP = Code("toml-too-deep", "nested too deeply", "correct the TOML")
_HUGE_INTEGER = Code("integer-huge", "a number of thousands of digits", "put phone numbers and texts in quotes")
_NO_SECTIONS = Code("no-sections", "it is not a table of sections", "its sections are {known}")
_UNKNOWN_SECTION = Code("unknown-section", "the section {section!q} is not known", "known are {known}")
_NOT_A_LIST = Code("section-not-list", "{section!q} is not a list of entries", "write [[{section}]] before each")
_NOT_A_JSON_LIST = Code(
    "json-section-not-list", "{section!q} is not a list of entries", 'write "{section}": [ {{ … }}, {{ … }} ]'
)
_NOT_A_TABLE = Code("entry-not-table", "it is not a table", "write its fields")
_NO_NUMBERS = Code(
    "csv-without-numbers",
    'its first line has no column "number"',
    "begin with a line of field names with commas, semicolons or tabs between them, such as number,company",
)
_COLUMN_TWICE = Code("csv-column-twice", "its first line names a column twice", "keep one of them")
_NO_PARAMETERS = Code(
    "csv-parameters", "a cell cannot hold {column!q}", "give each value a column of its own, parameters.NAME"
)
_NO_LIST = Code("csv-list", "a cell cannot hold {column!q}", "write them in TOML or JSON")
_UNKNOWN_COLUMN = Code("csv-unknown-column", "the column {column!q} is not known", "known are {known}")
_MISSPELT_COLUMN = Code("csv-misspelt-column", "the column {column!q} is not known", "did you mean {close!q}?")
_MORE_CELLS = Code(
    "csv-cells", "too many cells: {cells} under {columns} columns", "put cells that hold {delimiter!q} in quotes"
)
_FEWER_CELLS = Code(
    "csv-cells-missing",
    "too few cells: {cells} under {columns} columns",
    "write a {delimiter!q} for each cell, an empty one too",
)
_CSV = Code("csv-wrong", "{why}", "correct the CSV")
_NO_ROWS = Code(
    "replace-by-nothing",
    "there is nothing in it, and --replace removes what is not given",
    "see where its rows are, or leave it out",
)
_CSV_ALONE = Code(
    "replace-by-csv",
    "CSV has numbers alone, and --replace removes what is not given",
    "name the files with the companies, call flows and campaigns too, or leave --replace out",
)
_NOT_IN_CSV = {"parameters": _NO_PARAMETERS, "updates": _NO_LIST}  # fields that are tables or lists
_CSV_KIND = next(kind for kind in KINDS.values() if kind.in_csv)
_CSV_COLUMNS = [name for name in _CSV_KIND.struct.__struct_fields__ if name not in _NOT_IN_CSV]


def _called(name: str) -> str:
    return "standard input" if name == STANDARD_INPUT else printable(name)


def _text_of(name: str, standard_input: BinaryIO | None) -> str:
    """What a file says. Raises _FileError."""
    try:
        if name == STANDARD_INPUT:
            if standard_input is None:
                raise _FileError(_STDIN_CLOSED())
            data = standard_input.read(DATA_FILE_MAX_BYTES + 1)
        else:
            with pathlib.Path(name).open("rb") as file:
                data = file.read(DATA_FILE_MAX_BYTES + 1)
    except OSError as error:
        raise _FileError(_UNREADABLE(why=error.strerror or "cannot be read")) from error
    if len(data) > DATA_FILE_MAX_BYTES:
        raise _FileError(_TOO_LARGE(limit=DATA_FILE_MAX_BYTES))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _FileError(_NOT_UTF8(place=error.start)) from None


def _from_text(name: str, text: str, *, in_csv: bool) -> Iterator[AnyRawRow | _FileError]:
    """The rows of a file, and among them what one entry has wrong. Raises _FileError for the file as a whole."""
    if in_csv:
        return _from_csv(name, text)
    if name.lower().endswith(".json") or text.lstrip().startswith("{"):
        twice: list[_Twice] = []
        return _from_sections(name, _parse_json(text, twice), _NOT_A_JSON_LIST, doubtful=twice)
    if (fault := end_mark.cut_off(text)) is not None:
        raise _FileError(fault)
    return _from_sections(name, _parse_toml(text), _NOT_A_LIST, toml=text)


def _is_csv(text: str) -> bool:
    """Tell CSV by its heading: words with commas and the like, one of them `number`, begin neither TOML nor JSON."""
    _, delimiter, text = _delimited(text)
    cells = text.partition("\n")[0].split(delimiter)
    return all(not cell.strip() or _HEADING.fullmatch(cell) for cell in cells) and "number" in map(
        _field, (cell.strip().strip('"') for cell in cells)
    )


def _delimited(text: str) -> tuple[int, str, str]:
    """How many lines stand before CSV's heading, what is between its cells, and the text from the heading on."""
    said = _DELIMITER_LINE.match(text)
    if said is not None:
        return 1, said[1], text[said.end() :]
    heading = text.partition("\n")[0]
    return 0, max(_DELIMITERS, key=heading.count), text


def _field(cell: str) -> str:
    """The field that a cell of the heading names, in capitals or not."""
    name = cell.strip().lower()
    if name.startswith(_PARAMETER_COLUMN):
        return _PARAMETER_COLUMN + name.removeprefix(_PARAMETER_COLUMN).upper()
    return name


class _Twice(dict[str, Any]):
    """A table of JSON in which a key stands twice."""

    key = ""


def _parse_json(text: str, twice: list[_Twice]) -> Any:
    """The values; the tables in which a key stands twice go to `twice` as well."""
    try:
        return json.loads(text, object_pairs_hook=functools.partial(_seen_once, seen_twice=twice))
    except json.JSONDecodeError as error:
        raise _FileError(_JSON(why=error.msg, line=error.lineno, column=error.colno)) from None
    except ValueError:
        raise _FileError(_HUGE_INTEGER()) from None
    except RecursionError:
        raise _FileError(_JSON_TOO_DEEP()) from None


def _seen_once(pairs: list[tuple[str, Any]], seen_twice: list[_Twice]) -> dict[str, Any]:
    """An entry. What is null there is left out."""
    result = {key: value for key, value in pairs if value is not None}
    if len(result) == len(pairs) or len(dict(pairs)) == len(pairs):
        return result
    keys = [key for key, _ in pairs]
    twice = _Twice(result)
    twice.key = next(key for key in keys if keys.count(key) > 1)
    seen_twice.append(twice)
    return twice


def _wrong_keys(values: dict[str, Any], entry: str) -> list[_FileError]:
    try:
        return [_FileError(_KEY_TWICE(key=key), entry, path) for path, key in _keys_twice(values)]
    except RecursionError:
        return [_FileError(_JSON_TOO_DEEP(), entry)]


def _keys_twice(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Where inside a value a key stands twice, and which one."""
    if isinstance(value, _Twice):
        yield path, value.key
    if isinstance(value, dict):
        for name, each in value.items():
            if not isinstance(each, dict | list):
                continue
            yield from _keys_twice(each, f"{path}.{field_name(name)}".lstrip("."))
    elif isinstance(value, list):
        for place, each in enumerate(value, start=1):
            yield from _keys_twice(each, f"{path}[{place}]")


def _parse_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _FileError(_TOML(why=str(error))) from None
    except ValueError:
        raise _FileError(_HUGE_INTEGER()) from None
    except RecursionError:
        raise _FileError(_TOML_TOO_DEEP()) from None


def _from_sections(
    name: str, data: Any, not_a_list: Code, *, toml: str = "", doubtful: Sequence[_Twice] = ()
) -> Iterator[AnyRawRow | _FileError]:
    """The rows of a file with the sections companies, call_flows, campaigns and numbers; a dump's end counts them.

    `doubtful`: tables somewhere in it in which a key stands twice.
    """
    known = ", ".join(RowKind)
    if not isinstance(data, dict):
        raise _FileError(_NO_SECTIONS(known=known))
    if isinstance(data, _Twice):
        raise _FileError(_KEY_TWICE(key=data.key))
    said = end_mark.said(toml, data)
    for fault in [said] if isinstance(said, Fault) else end_mark.missing(said, data):
        yield _FileError(fault)
    for section, entries in data.items():
        if section == end_mark.SECTION:
            continue
        if section not in (*RowKind, UNKNOWN):
            yield _FileError(_UNKNOWN_SECTION(section=section, known=known))
            continue
        if not isinstance(entries, list):
            yield _FileError(not_a_list(section=section))
            continue
        key = KINDS[RowKind(section)].key if section != UNKNOWN else "key"
        for position, values in enumerate(entries, start=1):
            if not isinstance(values, dict):
                yield _FileError(_NOT_A_TABLE(), f"{section}[{position}]")
                continue
            label = f" {quote(values[key])}" if key in values else ""
            entry = f"{section}[{position}]{label}"
            wrong = _wrong_keys(values, entry) if doubtful else []
            yield from wrong
            if not wrong:
                place = Place(_called(name), entry)
                yield RawRow(RowKind(section), place, values) if section != UNKNOWN else _of_other_kind(place, values)


def _of_other_kind(place: Place, values: dict[str, Any]) -> AnyRawRow | _FileError:
    """A row whose kind was not known to the version that dumped it."""
    found = entry_of(values)
    if isinstance(found, Fault):
        return _FileError(found, place.entry)
    kind, fields = found
    return RawOtherRow(kind, place, fields) if isinstance(kind, int) else RawRow(kind, place, fields)


def _from_csv(name: str, text: str) -> Iterator[AnyRawRow | _FileError]:
    """Numbers, one a line, under a heading line with the fields' names.

    `parameters.NAME` columns value parameters; an empty cell is an absent field. Updates need TOML or JSON.
    """
    before, delimiter, text = _delimited(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        # A column without a name does no harm as long as its cells are empty, as behind a delimiter at each line's end.
        cells = next(reader, [])
        heading = [_field(cell) or _NAMELESS.format(place) for place, cell in enumerate(cells, start=1)]
        if "number" not in heading:
            raise _FileError(_NO_NUMBERS(), "line 1")
        if len(set(heading)) != len(heading):
            raise _FileError(_COLUMN_TWICE(), "line 1")
        for column, code in _NOT_IN_CSV.items():
            if column in heading:
                raise _FileError(code(column=column), "line 1")
        named = filter(None, map(_field, cells))
        unknown = [each for each in named if each not in _CSV_COLUMNS and not each.startswith(_PARAMETER_COLUMN)]
        if unknown:
            yield from (_FileError(_unknown_column(each), "line 1") for each in unknown)
            return
        called = _called(name)
        fields = [_field_and_parameter(column) for column in heading]
        for written in reader:
            cells = [*map(str.strip, written)]
            if not any(cells):
                continue
            line = f"line {before + reader.line_num}"
            if len(cells) != len(heading):
                code = _MORE_CELLS if len(cells) > len(heading) else _FEWER_CELLS
                yield _FileError(code(cells=len(cells), columns=len(heading), delimiter=delimiter), line)
                continue
            values = _from_cells(fields, cells)
            place = Place(called, f"{line} {quote(values.get('number', ''))}")
            yield RawRow(_CSV_KIND.name, place, values)
    except csv.Error as error:
        raise _FileError(_CSV(why=str(error)), f"line {before + reader.line_num}") from None


def _unknown_column(column: str) -> Fault:
    close = difflib.get_close_matches(column, _CSV_COLUMNS, n=1)
    if close:
        return _MISSPELT_COLUMN(column=column, close=close[0])
    return _UNKNOWN_COLUMN(column=column, known=", ".join((*_CSV_COLUMNS, f"{_PARAMETER_COLUMN}NAME")))


def _field_and_parameter(column: str) -> tuple[str, str | None]:
    if column.startswith(_PARAMETER_COLUMN):
        return "parameters", column.removeprefix(_PARAMETER_COLUMN)
    return column, None


def _from_cells(fields: list[tuple[str, str | None]], cells: list[str]) -> dict[str, Any]:
    """A row's values. An empty cell is an absent field."""
    values: dict[str, Any] = {}
    for (field, parameter), cell in zip(fields, cells, strict=True):
        if not cell:
            continue
        if parameter is not None:
            values.setdefault(field, {})[parameter] = cell
        else:
            values[field] = cell
    return values


def write(rows: Iterator[tuple[str, Held]], *, as_json: bool) -> Iterator[str]:
    """A whole set as a data file, in pieces, with the mark of its end. Rows come in the order of their kinds."""
    counts: Counter[str] = Counter()
    counted = _counting(rows, counts)
    if as_json:
        yield from _write_json(counted)
        yield f'"{end_mark.SECTION}": {json.dumps(end_mark.section(counts))}}}\n'
    else:
        yield end_mark.FIRST_LINE
        yield from _write_toml(counted)
        yield end_mark.last_line(counts)


def _counting(rows: Iterator[tuple[str, Held]], counts: Counter[str]) -> Iterator[tuple[str, Held]]:
    for kind, row in rows:
        counts[kind] += 1
        yield kind, row


def _write_toml(rows: Iterator[tuple[str, Held]]) -> Iterator[str]:
    """Some rows at a time: all of a large set at once would take its memory a second time.

    The library writes a list of short tables inline, which only the head of a file may have. So a first row that is too
    long for that goes along, and is cut off again.
    """
    for kind, of_kind in itertools.groupby(rows, key=lambda each: each[0]):
        cut_off = tomli_w.dumps({str(kind): [_LONG_ROW]})
        while some := [dumped(row) for _, row in itertools.islice(of_kind, _ROWS_AT_ONCE)]:
            yield tomli_w.dumps({str(kind): [_LONG_ROW, *some]}).removeprefix(cut_off).lstrip("\n") + "\n"


def _write_json(rows: Iterator[tuple[str, Held]]) -> Iterator[str]:
    """One row a line, so that two dumps can be compared line by line. The end is left to be written."""
    before: str | None = None
    yield "{"
    for kind, row in rows:
        if kind is before:
            yield ",\n"
        else:
            yield f'{"" if before is None else "],"}\n"{kind}": [\n'
        before = kind
        yield msgspec.json.encode(dumped(row)).decode()
    yield "],\n" if before is not None else "\n"
