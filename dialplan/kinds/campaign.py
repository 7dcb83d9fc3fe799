"""Campaigns, inbound and outbound."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from dialplan.dataset.problems import Fault, Faults
from dialplan.kinds.contexts import check_leads, destination_lock
from dialplan.kinds.fields import (
    NAME_MAX_CHARS,
    ByCompany,
    Destination,
    Home,
    check_destination,
    check_id,
    check_text,
    read_number,
)
from dialplan.kinds.kind import Kind, Known, Reference, RowKind
from dialplan.wording import Code

CALLER_IDS_PER_CAMPAIGN = 1_000
CALLBACK_WINDOW_MAX_HOURS = 8_760  # a year

_CALLER_ID = re.compile(r"caller_ids\[(\d+)\]")

_WINDOW = Code("callback-window-out-of-bounds", "{hours!q} hours", "use 1 to {limit}")
_OUTBOUND_ONLY = Code(
    "setting-of-outbound-campaigns", "an inbound campaign has no such setting", "take it out or make it outbound"
)
_TOO_MANY = Code("too-many-caller-ids", "{count} numbers", "use at most {limit}")
_NOT_ITS_NUMBER = Code("caller-id-of-another", "{number} is not reserved by company {company!q}", "show one of its own")


class Direction(StrEnum):
    """Which way a campaign calls."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An inbound or outbound campaign with its own destination."""

    id: str
    company: str
    name: ByCompany[str]
    direction: ByCompany[Direction]
    destination: ByCompany[Destination]
    accept_incoming: ByCompany[bool] = False
    callback_window_hours: ByCompany[int] = 168
    caller_ids: ByCompany[tuple[str, ...]] = ()  # E.164
    active: ByCompany[bool] = True


class CampaignKind(Kind[Campaign]):
    """Campaigns in a data set."""

    name = RowKind.CAMPAIGN
    word = "campaign"
    code = 3
    struct = Campaign
    refers_to = frozenset({RowKind.COMPANY, RowKind.NUMBER})
    leans_on = frozenset({RowKind.COMPANY, RowKind.NUMBER})
    blanks: ClassVar[Mapping[str, Any]] = {
        "id": "-",
        "company": "-",
        "name": "",
        "direction": "outbound",
        "destination": {"context": "-"},
    }
    follows: ClassVar[Mapping[str, frozenset[str]]] = {
        "accept_incoming": frozenset({"direction"}),
        "caller_ids": frozenset({"direction", "company"}),
    }

    def checked(self, row: Campaign, home: Home, faults: Faults) -> Campaign:
        """Its destination, its window, and what only an outbound one has; caller IDs in E.164, each once."""
        check_id(row.id, "id", faults)
        check_id(row.company, "company", faults)
        check_text(row.name, "name", NAME_MAX_CHARS, faults)
        faults.extend(check_destination(row.destination))
        if not 1 <= row.callback_window_hours <= CALLBACK_WINDOW_MAX_HOURS:
            fault = _WINDOW(hours=row.callback_window_hours, limit=CALLBACK_WINDOW_MAX_HOURS)
            faults.append(("callback_window_hours", fault))
        if row.direction is Direction.INBOUND:
            for field in ("accept_incoming", "caller_ids"):
                if getattr(row, field):
                    faults.append((field, _OUTBOUND_ONLY()))
        if len(row.caller_ids) > CALLER_IDS_PER_CAMPAIGN:
            faults.append(("caller_ids", _TOO_MANY(count=len(row.caller_ids), limit=CALLER_IDS_PER_CAMPAIGN)))
        shown = [
            read_number(text, home, f"caller_ids[{place}]", faults)
            for place, text in enumerate(row.caller_ids, start=1)
        ]
        return msgspec.structs.replace(row, caller_ids=tuple(dict.fromkeys(shown)))

    def references(self, row: Campaign) -> Iterator[Reference]:
        """Its company, and the numbers that it shows."""
        yield Reference("company", RowKind.COMPANY, row.company)
        for position, number in enumerate(row.caller_ids, start=1):
            yield Reference(f"caller_ids[{position}]", RowKind.NUMBER, number)

    def fitted(self, row: Campaign, known: Known, faults: Faults) -> Campaign:
        """The numbers that it shows have to be reserved by its company, and it leads to a context of its company's."""
        company = known.find(RowKind.COMPANY, row.company, "company", faults)
        if company is not None:
            check_leads(row.destination, company, faults)
        for position, number_id in enumerate(row.caller_ids, start=1):
            field = f"caller_ids[{position}]"
            number = known.find(RowKind.NUMBER, number_id, field, faults)
            if number is not None and number.company != row.company:  # a pool number has no company
                faults.append((field, _NOT_ITS_NUMBER(number=number_id, company=row.company)))
        return row

    def locks(
        self, before: Campaign | None, after: Campaign | None, get: Callable[[RowKind, str], Any]
    ) -> Iterator[tuple[str, Fault]]:
        """Destinations of a company that has no contexts are the platform owner's."""
        changed = before or after
        if changed is not None:
            yield from destination_lock(before, after, get(RowKind.COMPANY, changed.company))

    def matters(self, before: Campaign, after: Campaign) -> bool:
        """Whose it is, and which way it calls: a number is bound to an inbound one of its company."""
        return (before.company, before.direction) != (after.company, after.direction)

    def field_in_file(self, field: str, values: Mapping[str, Any], home: Home) -> str:
        """A number that is listed twice is kept once."""
        found = _CALLER_ID.fullmatch(field)
        if found is None:
            return field
        read = [read_number(text, home, "", []) for text in values["caller_ids"]]
        return f"caller_ids[{read.index(list(dict.fromkeys(read))[int(found[1]) - 1]) + 1}]"
