import csv
import itertools
import json
from pathlib import Path

import phonenumbers
import pytest

from bench import attempts, calls, dataset
from dialplan.campaigns.attempts import Outcome
from router.management import check
from router.management.data_files import read_files


@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_files_are_good_data_of_that_many_numbers(form: dataset.Format, tmp_path: Path) -> None:
    files = [dataset.write_base(tmp_path), dataset.write_numbers(tmp_path, range(400), form)]
    checked = check.check(*read_files([str(file) for file in files]))
    assert not checked.warnings
    assert checked.rows["numbers"] == 400
    assert checked.rows["campaigns"] == 1


def test_both_formats_have_the_same_numbers(tmp_path: Path) -> None:
    table = dataset.write_numbers(tmp_path, range(50, 100), "csv")
    rows = json.loads(dataset.write_numbers(tmp_path, range(50, 100), "json").read_text())["numbers"]
    with table.open(newline="") as file:
        for found, row in itertools.zip_longest(csv.DictReader(file), rows):
            own = {f"parameters.{name}": str(value) for name, value in row.pop("parameters", {}).items()}
            assert {name: value for name, value in found.items() if value} == {
                name: value for name, value in (row | own).items() if value
            }


def test_each_number_has_a_name_and_one_in_nine_two_values_of_its_own(tmp_path: Path) -> None:
    rows = json.loads(dataset.write_numbers(tmp_path, range(1800), "json").read_text())["numbers"]
    assert len({row["name"] for row in rows}) == 1800
    own = [row["parameters"] for row in rows if "parameters" in row]
    assert len(own) == 200
    assert {len(each) for each in own} == {2}
    assert len({each["GREETING"] for each in own}) == 200
    assert all(calls.has_parameters(calls.flow_of(index)) for index in range(1800) if calls.own_values(index))


def test_every_flow_and_company_has_numbers() -> None:
    flows = {calls.flow_of(index) for index in range(1000)}
    assert len(flows) == calls.COMPANIES * calls.FLOWS_PER_COMPANY
    assert len({calls.company_of(index) for index in range(1000)}) == calls.COMPANIES


def test_parts_are_whole_and_no_larger_than_one_load() -> None:
    assert dataset.parts(1000) == [range(1000)]
    assert dataset.parts(2_500_000) == [range(1_000_000), range(1_000_000, 2_000_000), range(2_000_000, 2_500_000)]
    for bad in (0, calls.MAX_NUMBERS + 1):
        with pytest.raises(ValueError, match="give 1 to"):
            dataset.parts(bad)


@pytest.mark.parametrize("index", [*range(8), 999_998, 999_999, calls.MAX_NUMBERS - 1])
def test_the_numbers_are_real_and_each_form_reads_as_the_same(index: int) -> None:
    number = phonenumbers.parse(calls.e164(index))
    assert phonenumbers.is_valid_number(number)
    mobile = phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
    assert calls.line_type(index) == ("mobile" if mobile else "landline")
    forms = {calls.dialled(index, form) for form in range(4)}
    assert len(forms) == 4
    for form in forms - {calls.e164(index)[1:]}:
        assert phonenumbers.parse(form, "GB") == number


def test_no_two_indexes_have_the_same_number() -> None:
    ends = [*range(10_000), *range(calls.MAX_NUMBERS - 10_000, calls.MAX_NUMBERS)]
    assert len({calls.e164(index) for index in ends}) == len(ends)


def test_the_right_answer_is_right_and_another_numbers_is_wrong() -> None:
    for index in (0, 1, 11):  # without parameters, with values of its own, and with those of another kind of flow
        answer = b'EXEC MSet "' + b"".join(calls.expected(index)) + b'ROUTE_STATUS=OK"\n'
        assert calls.is_right_answer(index, answer)
        assert not calls.is_right_answer(index + 18, answer)
        for piece in calls.expected(index):
            assert not calls.is_right_answer(index, answer.replace(piece, b""))


@pytest.mark.parametrize("numbers", [7, 1000, 1_000_000])
def test_attempts_are_missed_ones_of_so_many_pairs_over_the_whole_table(numbers: int) -> None:
    found = list(attempts.attempts(numbers, 3000, now=1e9))
    assert len({(each.number, each.subscriber) for each in found}) == 3000
    assert len({each.number for each in found}) == min(numbers, 3000)
    assert {each.outcome for each in found} == {Outcome.MISSED}
    assert all(1e9 - 3600 < each.at <= 1e9 for each in found)
