from typing import Any

import pytest

from router.config.settings import Agi, Ami
from router.doctor.asterisk import Seen
from router.doctor.clocks import Clock
from router.doctor.dialplan_version import DIALPLAN_VERSION, GLOBAL, LOADED
from router.doctor.findings import Finding, State
from router.doctor.managers import callers, found_of
from router.doctor.networks import Way
from router.doctor.router_page import Hearing

WAY = Way("127.0.0.1:4573", 4573, ("127.0.0.1",), here=True)


def seen(**fields: Any) -> Seen:
    """An Asterisk at which all is right, but for `fields`."""
    usual: dict[str, Any] = {"name": "pbx1", "host": "127.0.0.1", "port": 5038, "stage": "in", "system_name": "london"}
    usual |= {"addresses": ("127.0.0.1",), "here": True, "astdb": "", "dialplan": "", "ways": (WAY,)}
    usual |= {"values": {GLOBAL: str(DIALPLAN_VERSION), LOADED: "5"}, "clock": Clock("pbx1", 0.0, 0.0)}
    return Seen(**(usual | fields))


def found(*every: Seen, hearing: Hearing | None = None, tls: bool = False) -> dict[str, Finding]:
    """What is found of the first, by its part."""
    asterisks = [Ami(name=each.name, host=each.host, tls=tls) for each in every]
    all_of_them = found_of(every, asterisks, Agi(), hearing or {})
    assert all(each.mend for each in all_of_them if each.state is State.WRONG)
    return {each.part: each for each in reversed(all_of_them)}


def test_an_idle_asterisk_at_which_all_is_right() -> None:
    states = {part: each.state for part, each in found(seen()).items()}
    unseen = {part for part, state in states.items() if state is State.NOT_SEEN}
    assert unseen == {"channel variables", "hangup events", "dial events"}
    assert State.WRONG not in states.values()
    assert "system name" not in states  # one alone needs none


@pytest.mark.parametrize(
    ("error", "tls", "said"),
    [
        ("Connection refused", False, "port and bindaddr"),
        ("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0)", False, "port and bindaddr"),
        ("no answer within 5.0 s", False, "set tls = true"),
        ("no answer within 5.0 s", True, "does that port speak TLS"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)", True, "speaks no TLS"),
        ("its certificate is not trusted: self-signed certificate", True, "tls_ca_file"),
        ("Name or service not known", False, "correct host"),
        ("Network is unreachable", False, "firewall"),
        ("No route to host", False, "firewall"),
        ("Asterisk closed the session", False, "tls = true"),
    ],
)
def test_a_connection_that_does_not_come_to_be(error: str, tls: bool, said: str) -> None:
    of = found(seen(stage="connect", error=error), tls=tls)
    assert of["manager login"].state is State.WRONG
    assert error in of["manager login"].what
    assert said in of["manager login"].mend
    assert {each.state for part, each in of.items() if part != "manager login"} == {State.NOT_SEEN}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("Login was refused: Authentication failed", "permit"),
        ("Login was refused: Authentication failed", "failed to pass IP ACL"),
        ("Login was refused: Authentication failed", "failed to authenticate"),
        ("Login was refused: Authentication failed", "nonexistent user"),
        ("Challenge was refused: no; the secret is not sent in clear to another machine", "challenge"),
        ("Challenge: no reply within 5.0 s", "challenge"),
        ("Login: no reply within 5.0 s", "log"),
        ("\x1b[2J", "log"),
    ],
)
def test_a_login_that_is_refused(error: str, said: str) -> None:
    login = found(seen(stage="login", error=error))["manager login"]
    assert login.state is State.WRONG
    assert said in login.mend
    assert login.what.isprintable()


def test_rights_that_are_refused() -> None:
    refused = "DBGetTree was refused: Permission denied"
    of = found(seen(astdb=refused, dialplan="Getvar was refused: Permission denied", values={}, ways=()))
    assert (of["manager rights"].state, of["manager rights"].what) == (State.WRONG, refused)
    assert "write = reporting" in of["manager rights"].mend
    assert of["dialplan"].state is of["routers asked"].state is State.NOT_SEEN


def test_an_asterisk_that_is_not_through_in_time_is_not_taken_for_right() -> None:
    of = found(seen(astdb=None, dialplan=None, values={}, ways=(), broken_off="it has not answered all within 15 s"))
    assert of["manager login"].state is State.OK
    assert (of["manager rights"].state, "15 s" in of["manager rights"].what) == (State.NOT_SEEN, True)
    assert of["dialplan"].state is State.NOT_SEEN


@pytest.mark.parametrize(
    ("fields", "hearing", "variables", "events"),
    [
        ({}, {}, State.NOT_SEEN, State.NOT_SEEN),
        ({"lacking": ()}, {}, State.OK, State.NOT_SEEN),
        ({"lacking": ("CAMPAIGN_ID",)}, {"variables": State.OK}, State.WRONG, State.NOT_SEEN),
        ({"hangups": True}, {"hangups": State.WRONG}, State.NOT_SEEN, State.WRONG),
        ({"hangups": False}, {"hangups": State.OK}, State.NOT_SEEN, State.WRONG),
        ({}, {"variables": State.OK, "hangups": State.OK}, State.OK, State.OK),
        ({}, {"variables": State.WRONG, "hangups": State.WRONG}, State.WRONG, State.WRONG),
        ({"stage": "connect", "error": "x"}, {"variables": State.OK}, State.OK, State.NOT_SEEN),
    ],
)
def test_what_calls_show_goes_before_what_the_router_has_heard(
    fields: dict[str, Any], hearing: dict[str, State], variables: State, events: State
) -> None:
    of = found(seen(**fields), hearing={"pbx1": hearing})
    assert (of["channel variables"].state, of["hangup events"].state) == (variables, events)


def test_a_router_whose_session_is_from_before_the_mend_is_to_be_restarted() -> None:
    """The doctor's own session has the account's new rights, and the router's has the old ones."""
    events = found(seen(hangups=True), hearing={"pbx1": {"hangups": State.WRONG}})["hangup events"]
    assert "not the running router" in events.what
    assert "restart the router" in events.mend
    never = found(seen(hangups=False))["hangup events"]
    assert "restart the router" in never.mend


@pytest.mark.parametrize(
    ("error", "said"),
    [("secret_file /a: No such file or directory", "write the secret"), ("tls_ca_file /a: no PEM", "tls_ca_file of")],
)
def test_a_file_that_cannot_be_used(error: str, said: str) -> None:
    login = found(seen(stage="files", error=error))["manager login"]
    assert (login.state, said in login.mend) == (State.WRONG, True)


@pytest.mark.parametrize("state", list(State))
def test_dial_events_are_what_the_router_has_heard(state: State) -> None:
    assert found(seen(), hearing={"pbx1": {"dials": state}})["dial events"].state is state


def test_calls_that_have_come_show_that_the_dialplan_asks_this_router() -> None:
    far = seen(ways=(Way("192.0.2.9:4573", 4573, ("192.0.2.9",)),), here=False)
    assert found(far)["routers asked"].state is State.NOT_SEEN
    assert found(far, hearing={"pbx1": {"calls": State.OK}})["routers asked"].state is State.OK
    assert found(far, hearing={"pbx2": {"calls": State.OK}})["routers asked"].state is State.NOT_SEEN


def test_system_names_of_several() -> None:
    for names, state, said in (
        (("london", "leeds"), State.OK, '"london"'),
        (("", "leeds"), State.WRONG, "it has none"),
        (("leeds", "leeds"), State.WRONG, '"pbx2"'),
        ((None, "leeds"), State.NOT_SEEN, "not told"),
    ):
        name = found(seen(system_name=names[0]), seen(name="pbx2", system_name=names[1]))["system name"]
        assert (name.state, said in name.what) == (state, True)


def test_without_a_manager_nothing_of_asterisk_is_seen() -> None:
    assert [each.state for each in found_of([], [], Agi(), {})] == [State.NOT_SEEN]


@pytest.mark.parametrize(
    ("fields", "addresses"),
    [
        ({}, ("127.0.0.1",)),
        ({"ways": (Way("192.0.2.1:4573", 4573, ("192.0.2.1",), here=True),)}, ("192.0.2.1",)),
        ({"ways": (Way("192.0.2.1:9", 9, ("192.0.2.1",), here=True),)}, ("127.0.0.1",)),
        ({"here": False, "addresses": ("192.0.2.9",)}, ("192.0.2.9",)),
        ({"stage": "connect", "here": False, "ways": (), "addresses": ()}, ()),
    ],
)
def test_an_asterisk_on_this_machine_asks_from_the_address_that_it_asks(
    fields: dict[str, Any], addresses: tuple[str, ...]
) -> None:
    (caller,) = callers([seen(**fields)], Agi())
    assert caller.addresses == addresses
