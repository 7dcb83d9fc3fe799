import socket

import pytest

from router.config.settings import Agi
from router.doctor import agi
from router.doctor.agi import Answer, Asked, Caller
from router.doctor.findings import State
from router.doctor.networks import Way, allowed, place_of, way_of
from router.doctor.router_page import Page, Sample
from tests.unit.router.agi.test_client import server

HERE = Agi(port=4573)


@pytest.mark.parametrize(
    ("address", "let_in"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.9", True),
        ("::1", True),
        ("::1%lo", True),
        ("192.0.2.1", False),
        ("here", False),
        ("", False),
    ],
)
def test_a_peer_is_looked_for_in_the_networks(address: str, let_in: bool) -> None:
    assert allowed(address, HERE.allow) is let_in


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:4573", ("127.0.0.1", 4573)),
        ("pbx.example", ("pbx.example", 4573)),
        ("[::1]:4600", ("::1", 4600)),
        ("", None),
        (":4573", None),
        ("a:b", None),
        ("a:1:2", None),
    ],
)
def test_where_a_dialplan_asks(text: str, place: tuple[str, int] | None) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize(
    ("way", "here", "state"),
    [
        (Way("127.0.0.1:4573", 4573, ("127.0.0.1",), here=True), True, State.OK),
        (Way("127.0.0.1:4573", 4573, ("127.0.0.1",), here=True), False, State.WRONG),  # it asks itself
        (Way("127.0.0.1:4600", 4600, ("127.0.0.1",), here=True), True, State.WRONG),
        (Way("192.0.2.1:4573", 4573, ("192.0.2.1",), here=True), False, State.OK),
        (Way("192.0.2.1:4600", 4600, ("192.0.2.1",), here=True), False, State.WRONG),
        (Way("192.0.2.9:4573", 4573, ("192.0.2.9",)), False, State.NOT_SEEN),  # a way that is not seen from here
        (Way("no.where:4573", 4573), False, State.NOT_SEEN),
        (Way("nonsense::"), True, State.WRONG),
    ],
)
def test_whether_the_dialplan_asks_this_router(way: Way, here: bool, state: State) -> None:
    found = agi.asked_by_dialplan(HERE, "pbx1", [way], here=here)
    assert (found.state, found.of) == (state, "pbx1")
    assert way.text in found.what
    assert bool(found.mend) == (state is not State.OK)


def test_the_second_router_will_do() -> None:
    ways = [Way("192.0.2.9:4573", 4573, ("192.0.2.9",)), way_of("127.0.0.1:4573")]
    assert agi.asked_by_dialplan(HERE, "pbx1", ways, here=True).state is State.OK


@pytest.mark.parametrize(
    ("settings", "addresses", "state", "said"),
    [
        (Agi(), ("127.0.0.1",), State.OK, "may ask"),
        (Agi(), ("192.0.2.1",), State.WRONG, '"192.0.2.1"'),
        (Agi(), (), State.WRONG, "correct host"),
        (Agi(allow=("192.0.2.0/24",)), ("192.0.2.1",), State.WRONG, "set [agi] host"),
        (Agi(host="0.0.0.0", allow=("192.0.2.0/24",)), ("192.0.2.1",), State.OK, ""),
        (Agi(host="", allow=("192.0.2.0/24",)), ("192.0.2.1", "2001:db8::1"), State.NOT_SEEN, "connects from there"),
    ],
)
def test_whom_allow_lets_in(settings: Agi, addresses: tuple[str, ...], state: State, said: str) -> None:
    (found,) = agi.allow(settings, [Caller("pbx1", "pbx.example", addresses)], None)
    assert found.state is state
    assert said in found.what + found.mend


@pytest.mark.parametrize(
    ("samples", "state"),
    [
        (None, State.NOT_SEEN),
        ({"decisions": 0, "rejected": 0}, State.NOT_SEEN),
        ({"decisions": 0, "rejected": 2}, State.WRONG),
        ({"decisions": 3, "rejected": 2}, State.OK),
    ],
)
def test_without_a_manager_it_is_the_calls_that_show_it(samples: dict[str, int] | None, state: State) -> None:
    page = samples and Page(
        (
            Sample("ringway_decisions_total", {"reason": "assigned"}, samples["decisions"]),
            Sample("ringway_agi_rejected_total", {"cause": "peer"}, samples["rejected"]),
            Sample("ringway_agi_rejected_total", {"cause": "eof"}, 7),
        )
    )
    (found,) = agi.allow(HERE, [], page or None)
    assert found.state is state


async def test_who_answers_at_the_port() -> None:
    def router(connection: socket.socket) -> None:
        connection.sendall(b'EXEC MSet "ATTEMPT_STATUS=REFUSED"\n')

    def web(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    for answer, expected in ((router, Answer.ROUTER), (web, Answer.STRANGER), (lambda _: None, Answer.STRANGER)):
        with server(answer) as port:
            assert (await agi.look(Agi(port=port))).answer is expected


async def test_a_port_that_may_not_be_asked_is_not_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked = await agi.look(Agi(port=listening.getsockname()[1], allow=("192.0.2.0/24",)))
        assert asked.answer is Answer.NOT_LET_IN
        with listening.accept()[0] as connection:
            assert connection.recv(1) == b""


async def test_nobody_there_says_whether_a_router_could_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert await agi.look(Agi(port=port)) == Asked(Answer.NOBODY)
    for host in ("192.0.2.1", "a..b", "[::1]"):
        asked = await agi.look(Agi(host=host, port=port))
        assert asked.answer in (Answer.NOBODY, Answer.SILENT)
        if asked.answer is Answer.NOBODY:
            assert agi.port(Agi(host=host, port=port), asked).state is State.WRONG
            assert asked.mend


@pytest.mark.parametrize("answer", list(Answer))
def test_each_answer_says_what_to_do(answer: Answer) -> None:
    found = agi.port(HERE, Asked(answer))
    states = {Answer.ROUTER: State.OK, Answer.NOBODY: State.NOT_SEEN, Answer.NOT_LET_IN: State.NOT_SEEN}
    assert found.state is states.get(answer, State.WRONG)
    assert bool(found.mend) == (answer is not Answer.ROUTER)
