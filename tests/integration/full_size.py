"""A data set at full size, with its attempts: the files, the changes, and what a right answer to a call says.

A million numbers, the first 200,000 of the pool; of the others one in nine has a value of its own for its flow's
parameter. 10,000 outbound campaigns, one in 500 with 1,000 caller ids of its own. A million missed attempts, each of
another number and subscriber, of all campaigns by turns.
"""

import asyncio
import json
import pathlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dialplan.campaigns.attempts import Attempt, Outcome
from router.config.settings import StoreSettings
from router.store.factory import stores_of

NUMBERS, POOL, CAMPAIGNS, FLOWS = 1_000_000, 200_000, 10_000, 12
ATTEMPTS = 1_000_000
OWN_CALLER_IDS, CALLER_IDS = 500, 1_000  # one campaign in so many has so many
CHANGED = 100_000  # numbers that one change has
DISABLED, MOVED = range(CHANGED), range(POOL, POOL + CHANGED)
SWITCHED = POOL - 1  # the number that is changed alone; nobody calls it meanwhile
# Campaigns' windows are a week, and attempts stay a day longer: by purges of today, and of two and four days later.
PURGE_DAYS = (0, 2, 4)
_OLD_DAYS = (9, 7, 5)
_OLD_SHARE = 10  # one attempt in so many is of each such age
PURGED = ATTEMPTS // _OLD_SHARE  # by each of the purges
_AT_ONCE = 2_000
_GREETING = "Please hold the line until somebody can take your call" * 3


def number(place: int) -> str:
    """The number at a place, E.164: a London one."""
    return f"+4420{70_000_000 + place}"


def subscriber(attempt: int) -> str:
    """Whom an attempt rang, E.164."""
    return f"+44770{attempt:07d}"


def has_own(place: int) -> bool:
    """Whether the number at a place has a value of its own."""
    return place >= POOL and place % 9 == 1


def own_places() -> Iterator[int]:
    """The numbers that have one."""
    return filter(has_own, range(POOL, NUMBERS))


def is_old(attempt: int) -> bool:
    """Whether one of the purges takes an attempt."""
    return _age(attempt) < len(_OLD_DAYS)


def caller_ids(campaign: int) -> range:
    """The places of a campaign's own caller ids; none where it shows the pool's."""
    first = MOVED.stop + campaign // OWN_CALLER_IDS * CALLER_IDS
    return range(first, first + (CALLER_IDS if campaign % OWN_CALLER_IDS == 0 else 0))


# --- files ------------------------------------------------------------------------------------------------------------


def write(path: pathlib.Path) -> pathlib.Path:
    """All of it, for `ringway load`: some 130 MB."""
    greeting = {"name": "GREETING", "type": "text", "default": "Hello", "max_length": 250}
    data = {
        "companies": [{"id": "acme", "name": "Acme", "region": "GB", "identified": True}],
        "call_flows": [
            {"id": f"f{flow}", "name": f"f{flow}", "destination": _place(f"flow-{flow}"), "parameters": [greeting]}
            for flow in range(FLOWS)
        ],
        "campaigns": [
            {
                "id": f"c{campaign}",
                "name": f"c{campaign}",
                "company": "acme",
                "direction": "outbound",
                "destination": _place(f"campaign-{campaign}"),
                "accept_incoming": True,
                "caller_ids": list(map(number, caller_ids(campaign))),
            }
            for campaign in range(CAMPAIGNS)
        ],
    }
    with path.open("w") as file:
        file.write(json.dumps(data)[:-1])
        _write_numbers(file, map(_row, range(NUMBERS)), before=', "numbers": ')
        file.write("}")
    return path


def write_moved(path: pathlib.Path, flows_on: int) -> pathlib.Path:
    """The change that has MOVED so many flows further than they began."""
    return _write_change(path, (_row(place, flows_on) for place in MOVED))


def write_disabled(path: pathlib.Path, places: Iterable[int], *, disabled: bool) -> pathlib.Path:
    """The change that disables pool numbers, or enables them."""
    status = "disabled" if disabled else "active"
    return _write_change(path, (_row(place) | {"status": status} for place in places))


def _place(context: str) -> dict[str, str]:
    return {"context": context}


def _row(place: int, flows_on: int = 0) -> dict[str, Any]:
    flow = f"f{(place + flows_on) % FLOWS}"
    if place < POOL:
        return {"number": number(place), "kind": "pool", "call_flow": flow}
    row: dict[str, Any] = {"number": number(place), "company": "acme", "call_flow": flow}
    return row | ({"parameters": {"GREETING": _greeting(place)}} if has_own(place) else {})


def _greeting(place: int) -> str:
    return f"Line {place}: {_GREETING}"


def _write_change(path: pathlib.Path, rows: Iterable[dict[str, Any]]) -> pathlib.Path:
    with path.open("w") as file:
        _write_numbers(file, rows, before='{"numbers": ')
        file.write("}")
    return path


def _write_numbers(file: Any, rows: Iterable[dict[str, Any]], before: str) -> None:
    file.write(before)
    for between, row in zip(_between(), rows, strict=False):
        file.write(between + json.dumps(row))
    file.write("]")


def _between() -> Iterator[str]:
    yield "["
    while True:
        yield ",\n"


# --- attempts ---------------------------------------------------------------------------------------------------------


def write_attempts(store: StoreSettings) -> None:
    """Write down all attempts, as a router does. Those that are not old ended within the last hour."""
    asyncio.run(_write_attempts(store))


async def _write_attempts(settings: StoreSettings) -> None:
    store = stores_of(settings).callbacks
    now = time.time()
    await store.open()
    try:
        for first in range(0, ATTEMPTS, _AT_ONCE):
            await store.record([_attempt(each, now) for each in range(first, first + _AT_ONCE)])
    finally:
        await store.close()


def _attempt(place: int, now: float) -> Attempt:
    age = _age(place)
    days = _OLD_DAYS[age] if age < len(_OLD_DAYS) else 0
    at = now - days * 86_400 - place % 3_600
    return Attempt(f"a{place}", f"c{place % CAMPAIGNS}", number(place), subscriber(place), at, Outcome.MISSED)


def _age(attempt: int) -> int:
    return attempt // CAMPAIGNS % _OLD_SHARE


# --- right answers ----------------------------------------------------------------------------------------------------


class Truth(NamedTuple):
    """What may hold now: while a change is on its way, what was before and what comes.

    `flows_on`: by how many flows MOVED are further than they began; `disabled`: whether DISABLED are.
    """

    flows_on: frozenset[int] = frozenset({0})
    disabled: frozenset[bool] = frozenset({False})

    def either(self, other: "Truth") -> "Truth":
        """What may hold where one of the two does."""
        return Truth(self.flows_on | other.flows_on, self.disabled | other.disabled)


def is_right_route(answer: bytes, place: int, truth: Truth) -> bool:
    """Whether a call to the number at a place, of somebody whom nobody rang, goes where it should."""
    if place in DISABLED and b"ROUTE_REASON=disabled," in answer:
        return True in truth.disabled
    told = [f"ROUTE_NUMBER={number(place)},", "ROUTE_REASON=assigned,", 'ROUTE_STATUS=OK"\n']
    if has_own(place):
        told.append(f"PARAM_GREETING={_greeting(place)},")
    shifts = truth.flows_on if place in MOVED else {0}
    contexts = [f"ROUTE_CONTEXT=flow-{(place + shift) % FLOWS},".encode() for shift in shifts]
    usual = place not in DISABLED or False in truth.disabled
    return usual and _has(answer, told) and any(each in answer for each in contexts)


def is_right_callback(answer: bytes, attempt: int) -> bool:
    """Whether the first callback after an attempt goes to its campaign."""
    context = f"ROUTE_CONTEXT=campaign-{attempt % CAMPAIGNS},"
    told = [context, f"ROUTE_NUMBER={number(attempt)},", "ROUTE_REASON=callback-campaign,", 'ROUTE_STATUS=OK"\n']
    return _has(answer, told)


def is_right_caller_id(answer: bytes, campaign: int, truth: Truth) -> bool:
    """Whether a campaign's call shows a number that it may."""
    own = caller_ids(campaign)
    place = int(answer.partition(b"SHOW_NUMBER=+4420")[2].partition(b",")[0] or 0) - 70_000_000
    pool = range(0 if False in truth.disabled else DISABLED.stop, POOL)
    kind = "reserved" if own else "pool"
    return place in (own or pool) and _has(answer, [f"SHOW_KIND={kind},", 'SHOW_STATUS=OK"\n'])


def _has(answer: bytes, pieces: Iterable[str]) -> bool:
    return all(piece.encode() in answer for piece in pieces)
