import datetime as dt
import zoneinfo

import pytest

from dialplan.dataset.problems import Fault
from dialplan.dataset.times import is_machines_own, read_time, shown, zone

LONDON = zoneinfo.ZoneInfo("Europe/London")
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
LORD_HOWE = zoneinfo.ZoneInfo("Australia/Lord_Howe")


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type] # the parts of a time


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-24T17:00:00Z",
        "2026-12-24 17:00:00Z",
        "2026-12-24T17:00:00.000Z",
        "2026-12-24T18:00:00+01:00",
        "2026-12-24T12:00:00-05:00",
        "  2026-12-24T17:00Z ",
    ],
)
def test_a_time_with_an_offset_needs_no_zone(text: str) -> None:
    for local in (None, LONDON, NEW_YORK):
        assert read_time(text, local) == utc(2026, 12, 24, 17)


def test_a_time_without_an_offset_is_local_in_summer_and_in_winter() -> None:
    assert read_time("2026-07-01T12:00:00", LONDON) == utc(2026, 7, 1, 11)
    assert read_time("2026-12-01T12:00:00", LONDON) == utc(2026, 12, 1, 12)
    assert read_time("2026-07-01T12:00:00", NEW_YORK) == utc(2026, 7, 1, 16)


def test_what_comes_out_is_always_utc() -> None:
    for text in ("2026-07-01T12:00:00", "2026-07-01T12:00:00+05:30"):
        moment = read_time(text, LONDON)
        assert isinstance(moment, dt.datetime)
        assert moment.tzinfo is dt.UTC


def test_a_datetime_as_toml_gives_it_is_read_like_its_text() -> None:
    naive = dt.datetime(2026, 7, 1, 12)  # noqa: DTZ001 - local times of TOML are naive
    assert read_time(naive, LONDON) == utc(2026, 7, 1, 11)
    assert read_time(naive.replace(tzinfo=dt.UTC), LONDON) == utc(2026, 7, 1, 12)


def test_a_local_time_without_a_company_is_refused_with_what_to_write() -> None:
    fault = read_time("2026-07-01T12:00:00", None)
    assert isinstance(fault, Fault)
    assert "no offset" in fault.text
    assert "2026-07-01T12:00:00Z" in fault.hint


@pytest.mark.parametrize(
    ("text", "local", "earlier", "later"),
    [
        ("2026-03-29T01:30:00", LONDON, "2026-03-29T00:30:00+00:00", "2026-03-29T02:30:00+01:00"),
        ("2026-03-08T02:30:00", NEW_YORK, "2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"),
        ("2026-10-04T02:15:00", LORD_HOWE, "2026-10-04T01:45:00+10:30", "2026-10-04T02:45:00+11:00"),
    ],
)
def test_a_time_that_clocks_skip_is_refused_with_both_that_may_be_meant(
    text: str, local: dt.tzinfo, earlier: str, later: str
) -> None:
    fault = read_time(text, local)
    assert isinstance(fault, Fault)
    assert "does not exist" in fault.text
    assert fault.hint == f"write {earlier} or {later}"
    for choice in (earlier, later):  # what it proposes can be written
        assert read_time(choice, local) == dt.datetime.fromisoformat(choice)


@pytest.mark.parametrize(
    ("text", "local", "first", "second"),
    [
        ("2026-10-25T01:30:00", LONDON, "2026-10-25T01:30:00+01:00", "2026-10-25T01:30:00+00:00"),
        ("2026-11-01T01:30:00", NEW_YORK, "2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"),
    ],
)
def test_a_time_that_happens_twice_is_refused_with_both(text: str, local: dt.tzinfo, first: str, second: str) -> None:
    fault = read_time(text, local)
    assert isinstance(fault, Fault)
    assert "happens twice" in fault.text
    assert first in fault.hint
    assert second in fault.hint


@pytest.mark.parametrize("text", ["2026-03-29T00:59:59", "2026-03-29T02:00:00", "2026-10-25T00:59:59"])
def test_the_last_second_before_a_change_and_the_first_after_it_are_plain(text: str) -> None:
    assert isinstance(read_time(text, LONDON), dt.datetime)


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "2026-12-24", "17:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-12-24T25:00:00Z"),
        *("2026-12-24T17:00:00Z and more", "2026-12-24T23:59:60Z", "2026-12-24T17:00:00+99:00", "20261224T170000Z"),
        *("٢٠٢٦-12-24T17:00:00Z", "2026-12-24T17:00:00\ud800"),
        *(None, 5, 5.5, True, [], {}, dt.date(2026, 12, 24), dt.time(17)),
    ],
)
def test_what_is_no_time_is_refused_with_an_example(value: object) -> None:
    fault = read_time(value, LONDON)
    assert isinstance(fault, Fault)
    assert "2026-12-24T17:00:00Z" in fault.hint


@pytest.mark.parametrize(
    "text",
    [
        *("1999-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
        *("0001-01-01T00:00:00", "9999-12-31T23:59:59"),
    ],
)
def test_a_year_that_must_be_a_slip_is_refused_even_at_the_calendars_ends(text: str) -> None:
    for local in (LONDON, NEW_YORK, zoneinfo.ZoneInfo("Asia/Tokyo")):
        fault = read_time(text, local)
        assert isinstance(fault, Fault)
        assert fault.hint == "check the year"


def test_the_years_between_are_taken() -> None:
    assert read_time("2000-01-01T00:00:00Z", None) == utc(2000, 1, 1)
    assert read_time("2199-12-31T23:59:59Z", None) == utc(2199, 12, 31, 23, 59, 59)


def test_a_zone_is_found_by_its_name() -> None:
    assert zone("Europe/London") == LONDON


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "posix/Europe/London", "right/UTC"])
def test_a_zone_that_is_the_machines_own_is_none(name: str) -> None:
    assert is_machines_own(name)
    assert zone(name) is None


def test_every_zone_of_the_iana_is_found_on_any_machine() -> None:
    names = zoneinfo.available_timezones() - {"localtime", "Factory"}
    assert {name for name in names if is_machines_own(name)} == set()
    assert zone("UTC") is not None


def test_a_moment_is_shown_as_data_files_have_it_and_reads_back() -> None:
    for moment, text in (
        (utc(2026, 12, 24, 17), "2026-12-24T17:00:00Z"),
        (utc(2026, 12, 24, 17, 0, 0, 250_000), "2026-12-24T17:00:00.250000Z"),
    ):
        assert shown(moment) == text
        assert read_time(text, None) == moment


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "/",
        "..",
        "../etc",
        "Europe",
        "Europe/",
        "Nowhere",
        "a\0b",
        "\ud800",
        "x" * 5000,
        "a.b/c",
        "x//y",
        "__init__/0",
        "Europe/__init__",
        "zoneinfo/../UTC",
    ],
)
def test_what_names_no_zone_gives_none(name: str) -> None:
    assert zone(name) is None
