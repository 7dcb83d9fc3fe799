"""Two Asterisks and one router: what a campaign's call by the one left unanswered is called back through the other."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.asterisk.campaigns import (
    CAMPAIGN,
    DATA,
    FLOWS,
    OUR,
    OWN,
    SECRET_FILE,
    Campaigns,
    ami_settings,
    subscriber,
)
from tests.asterisk.parts import Program
from tests.asterisk.pbx import Asterisk
from tests.asterisk.subscribers import Behaviour, subscribers
from tests.asterisk.traffic import DEFAULT_FLOW
from tests.processes import running_router, wait_until

pytestmark = pytest.mark.asterisk


class Pair(NamedTuple):
    """The two, each with telephones of its own behind its trunk; the router is the same."""

    one: Campaigns
    other: Campaigns

    def connected(self) -> list[float]:
        """Whether the router has a session with each, by its metrics."""
        metrics = self.one.router.metrics()
        return [metrics[f'ringway_ami_connected{{asterisk="pbx{place}"}}'] for place in (1, 2)]


@contextlib.contextmanager
def running_pair(program: Program, folder: Path, names: tuple[str, str]) -> Iterator[Pair]:
    """Two Asterisks with these system names, subscribers behind each, and a router that has a session with both."""
    with contextlib.ExitStack() as stack:
        flows = (*FLOWS, DEFAULT_FLOW)
        first, second = (
            stack.enter_context(Asterisk(program, flows=flows, files=SECRET_FILE, name=name)) for name in names
        )
        notes = [stack.enter_context(subscribers(each.ports.trunk)) for each in (first, second)]
        links = [ami_settings(each, folder)["ami"][0] for each in (first, second)]
        named = [link | {"name": f"pbx{place}"} for place, link in enumerate(links, 1)]
        router = stack.enter_context(running_router(folder, data=DATA, settings={"ami": named}))
        for each in (first, second):
            each.set_global("RINGWAY_AGI", f"127.0.0.1:{router.agi_port}")
            each.set_global("RINGWAY_RING_SECONDS", "1")
        for name in ("pbx1", "pbx2"):
            router.wait_for("ami_up", asterisk=name)
        yield Pair(*(Campaigns(each, router, where) for each, where in zip((first, second), notes, strict=True)))


@pytest.fixture
def pair(asterisk_program: Program, tmp_path: Path) -> Iterator[Pair]:
    with running_pair(asterisk_program, tmp_path, ("london", "leeds")) as running:
        yield running


def test_an_attempt_by_the_one_is_called_back_through_the_other(pair: Pair) -> None:
    """Their calls begin in the same second with the same number in the series: only the names tell them apart."""
    for dials, rung in (pair, reversed(pair)):
        to = subscriber(Behaviour.BUSY)
        dials.dial(to)
        assert rung.outcomes(to) == ["missed"]
        assert rung.call(OUR, to).context == CAMPAIGN
        assert dials.call(OUR, to).context == OWN
        assert len(dials.told(to)) == 1
    assert pair.one.router.events("ami_no_system_name") == []
    assert pair.one.router.events("ami_deaf") == pair.one.router.events("ami_calls_elsewhere") == []


def test_the_end_of_one_leaves_the_other_alone(pair: Pair) -> None:
    assert pair.connected() == [1, 1]
    pair.one.asterisk.stop()
    pair.one.router.wait_for("ami_down", asterisk="pbx1")
    wait_until(lambda: pair.connected() == [0, 1], "the metric tells the two apart")
    to = subscriber(Behaviour.RINGS)
    pair.other.dial(to)
    assert pair.other.call(OUR, to).context == CAMPAIGN


def test_an_asterisk_without_a_name_beside_another_is_told_of(asterisk_program: Program, tmp_path: Path) -> None:
    with running_pair(asterisk_program, tmp_path, ("london", "")) as pair:
        said = pair.one.router.wait_for("ami_no_system_name")
        assert (said["asterisk"], "systemname" in said["hint"]) == ("pbx2", True)
        assert len(pair.one.router.events("ami_no_system_name")) == 1


def test_two_asterisks_of_one_name_are_told_of(asterisk_program: Program, tmp_path: Path) -> None:
    with running_pair(asterisk_program, tmp_path, ("london", "london")) as pair:
        said = pair.one.router.wait_for("ami_same_system_name")
        assert {str(said["asterisk"]), str(said["why"]).rpartition(" ")[2]} == {"pbx1", "pbx2"}
        assert len(pair.one.router.events("ami_same_system_name")) == 1
        assert pair.connected() == [1, 1]
