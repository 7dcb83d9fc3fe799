"""`agi://…/caller-id` of a real router: which number each of many outbound calls shows."""

import asyncio
import pathlib
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fastagi import environment_lines, place
from tests.processes import Router, load, running_router, wait_until

NUMBERS = [f"+4420794600{place:02}" for place in range(5)]
DISABLED, ANOTHER = "+442079460010", "+442079460011"
COMPANY = """
[[companies]]
id = "acme"
name = "Acme"
region = "GB"
identified = true
"""
CAMPAIGN = f"""
[[campaigns]]
id = "win-back"
company = "acme"
name = "Win back"
direction = "outbound"
destination = {{ context = "campaign-win-back" }}
caller_ids = {[*NUMBERS, DISABLED]}
"""
REQUESTS, CONNECTIONS = 1_000, 20


def row(number: str, status: str = "active") -> str:
    return f'\n[[numbers]]\nnumber = "{number}"\ncompany = "acme"\nstatus = "{status}"\n'


DATA = COMPANY + CAMPAIGN + "".join(map(row, [*NUMBERS, ANOTHER])) + row(DISABLED, "disabled")


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    folder: pathlib.Path = tmp_path_factory.mktemp("router")
    with running_router(folder, data=DATA) as running:
        yield running


async def shown(router: Router, name: str) -> str:
    """The number for one more call of the campaign, asked as Asterisk does."""
    fields = {"agi_network_script": "caller-id?destination", "agi_uniqueid": name}
    call = await place("127.0.0.1", router.agi_port, environment_lines(fields, ["win-back", "+447700900123"]))
    (_,) = call.commands
    assert (call.variables["SHOW_STATUS"], call.variables["SHOW_KIND"]) == ("OK", "reserved")
    return call.variables["SHOW_NUMBER"]


async def shown_at_once(router: Router, count: int) -> list[str]:
    """The same for so many calls, several at a time."""
    left = iter(range(count))

    async def caller() -> list[str]:
        return [await shown(router, f"caller-id.{each}") for each in left]

    found = await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return [number for each in found for number in each]


async def test_numbers_are_shown_evenly_over_many_connections(router: Router) -> None:
    use = Counter(await shown_at_once(router, REQUESTS))
    assert use.total() == REQUESTS
    assert set(use) == set(NUMBERS)
    assert max(use.values()) - min(use.values()) <= 1, use


async def test_one_call_after_the_other_shows_another_number_each_time(router: Router) -> None:
    numbers = [await shown(router, f"in-turn.{each}") for each in range(20)]
    for start in range(len(numbers) - len(NUMBERS) + 1):
        assert sorted(numbers[start : start + len(NUMBERS)]) == NUMBERS


async def test_a_number_that_is_disabled_meanwhile_is_shown_no_more(router: Router) -> None:
    def set_status(status: str) -> None:
        version = load(router.config, row(NUMBERS[2], status), "--json").json()["version"]
        wait_until(lambda: router.metrics()["ringway_table_version"] == version, "the table has it")

    asking = asyncio.create_task(shown_at_once(router, REQUESTS))
    await asyncio.to_thread(set_status, "disabled")
    try:
        use = Counter(await shown_at_once(router, 100))
        assert set(use) == {number for number in NUMBERS if number != NUMBERS[2]}
        assert set(await asking) <= set(NUMBERS)
    finally:
        await asyncio.to_thread(set_status, "active")
    assert set(await shown_at_once(router, 100)) == set(NUMBERS)
