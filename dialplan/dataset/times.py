"""Times of scheduled updates: read with their offset, or in the company's own time zone."""

import datetime as dt
import re
import zoneinfo

from dialplan.dataset.problems import Fault
from dialplan.wording import Code

_NO_TIME = Code("not-a-time", "{value!q} is not a date and time", "write it like 2026-12-24T17:00:00Z")
NO_ZONE = Code(
    "time-without-zone",
    "{value!q} has no offset, and there is no company whose time zone would tell",
    "write {local}Z or with an offset such as +01:00",
)
_OUT_OF_RANGE = Code("time-out-of-range", "{value!q} is not between the years 2000 and 2200", "check the year")
_SKIPPED = Code("time-skipped", "{local} does not exist: clocks skip it in {zone}", "write {earlier} or {later}")
_TWICE = Code("time-twice", "{local} happens twice: clocks go back then in {zone}", "write {earlier} or {later}")

_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?")
_EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
# Other names lead elsewhere in the folder or the package where zones are looked up.
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*)*")
# Files beside the zones of a machine that are another zone, or none, on the next one.
_MACHINES_OWN = frozenset({"localtime", "posixrules", "Factory"})
_MACHINES_OWN_FOLDERS = ("posix/", "right/")  # right/ counts leap seconds, so its times are not those of a clock


def is_machines_own(name: str) -> bool:
    """Whether the zone `name` depends on how a machine was set up: such times would differ between routers."""
    return name in _MACHINES_OWN or name.startswith(_MACHINES_OWN_FOLDERS)


def zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The IANA time zone called `name`; None where there is none, or it is a machine's own."""
    if is_machines_own(name) or not _ZONE_NAME.fullmatch(name):
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a name that is a folder
        return None


def read_time(value: object, local_zone: dt.tzinfo | None) -> dt.datetime | Fault:
    """Read a moment, in UTC.

    `value` is a datetime (as TOML gives it) or text after RFC 3339; where it has no offset it is local time in
    `local_zone` (None: such a time cannot be read). A local time that a clock change skips or shows twice is
    refused with the exact times to choose from: which one was meant is not ours to guess.
    """
    moment = value if isinstance(value, dt.datetime) else _parse(value)
    if moment is None:
        return _NO_TIME(value=value)
    if moment.tzinfo is None:
        if local_zone is None:
            return NO_ZONE(value=value, local=moment.isoformat())
        placed = _place(moment, local_zone)
        if isinstance(placed, Fault):
            return placed
        moment = placed
    # Compared before it is converted: the first and last day of the calendar cannot be, in every zone.
    if not _EARLIEST <= moment < _LATEST:
        return _OUT_OF_RANGE(value=value)
    return moment.astimezone(dt.UTC)


def shown(moment: dt.datetime, timespec: str = "auto") -> str:
    """A moment in UTC as data files have it, to the fraction of a second that it has, or that `timespec` names."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def shown_at(seconds: float) -> str:
    """A moment in epoch seconds as data files have it."""
    return shown(dt.datetime.fromtimestamp(seconds, dt.UTC))


def _parse(value: object) -> dt.datetime | None:
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not _LOCAL.match(text):
        return None
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None


def _place(local: dt.datetime, local_zone: dt.tzinfo) -> dt.datetime | Fault:
    """Give a local time its offset, or say which moments it may mean."""
    earlier = local.replace(tzinfo=local_zone, fold=0)
    later = local.replace(tzinfo=local_zone, fold=1)
    if earlier.utcoffset() == later.utcoffset():
        return earlier
    skipped = earlier.astimezone(dt.UTC).astimezone(local_zone).replace(tzinfo=None) != local
    choices = [_fixed(each) for each in sorted((earlier, later), key=lambda each: each.astimezone(dt.UTC))]
    code = _SKIPPED if skipped else _TWICE
    return code(local=local.isoformat(), zone=str(local_zone), earlier=choices[0], later=choices[1])


def _fixed(moment: dt.datetime) -> str:
    """The same moment with the offset that really holds then, as the clock on the wall shows it."""
    return moment.astimezone(dt.UTC).astimezone(moment.tzinfo).isoformat()
