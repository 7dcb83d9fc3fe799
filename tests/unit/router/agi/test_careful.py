"""Calls that are not usual: what is said and counted of them, however they end."""

import pytest

from tests.fastagi import environment
from tests.unit.router.agi.wires import Exchange, forged, in_a_loop

CALL = {"agi_extension": "02079460000", "agi_callingpres": "32"}  # not to be shown: no usual call
USUAL = b"200 result=0\n"


def said(exchange: Exchange) -> dict[str, object]:
    """The one line of the log, without its level."""
    (entry,) = exchange.log.entries
    return {key: value for key, value in entry.items() if key != "log_level"}


@in_a_loop
async def test_of_an_unknown_scripts_name_no_more_is_said_than_its_bound() -> None:
    exchange = Exchange()
    line = exchange.line(environment({"agi_network_script": "x" * 65}))
    assert line.wire.closed
    assert said(exchange)["script"] == "x" * 64


@pytest.mark.parametrize("did", ["02079460000", "02079469999"])
@in_a_loop
async def test_of_a_reply_that_is_none_of_asterisks_no_more_is_said_than_its_bound(did: str) -> None:
    exchange = Exchange()
    line = exchange.line(environment(CALL | {"agi_extension": did}))
    line.receive(b"510 " + b"x" * 65 + b"\n")
    assert said(exchange) == {
        "event": "agi_rejected",
        "cause": "bad-reply",
        "peer": "127.0.0.1",
        "times": 1,
        "code": 510,
        "text": "x" * 64,
    }


@pytest.mark.parametrize("answered", [False, True])
@in_a_loop
async def test_a_call_that_is_cut_off_is_said_to_have_its_answer_or_not_and_is_told_nothing_more(
    answered: bool,
) -> None:
    exchange = Exchange()
    block = environment(CALL)
    line = exchange.line(block if answered else block[:100])
    line.connection.abort("deadline")
    line.connection.abort("deadline")
    line.connection.connection_lost(None)
    assert said(exchange) == {
        "event": "agi_rejected",
        "cause": "deadline",
        "peer": "127.0.0.1",
        "times": 1,
        "answered": answered,
    }
    assert (len(line.wire.commands), line.wire.closed) == (answered, True)
    assert exchange.count("decision_seconds_count") == len(exchange.records) == answered


@pytest.mark.parametrize("fields", [CALL, {"agi_extension": "02079460000"}], ids=["long", "short"])
@in_a_loop
async def test_a_call_that_has_ended_is_not_cut_off_any_more_but_its_connection_is(
    fields: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Exchange()
    line = exchange.line(environment(fields), USUAL)
    aborted: list[bool] = []
    monkeypatch.setattr(line.wire, "abort", lambda: aborted.append(line.wire.closed))
    line.connection.abort("deadline")
    assert aborted == [True]
    line.connection.connection_lost(None)
    assert exchange.log.entries == []
    assert exchange.count("decision_seconds_count") == 1


@in_a_loop
async def test_a_caller_who_goes_without_a_reply_was_decided_all_the_same() -> None:
    exchange = Exchange()
    exchange.line(environment(CALL)).connection.connection_lost(None)
    assert exchange.log.entries == []
    assert exchange.count("decisions_total", reason="assigned", kind="call-flow") == 1


@in_a_loop
async def test_the_record_of_a_call_whose_lines_cannot_be_trusted_has_nothing_of_them() -> None:
    exchange = Exchange()
    exchange.line(b"agi_network_script: route\nagi_uniqueid: 1.1\nagi_extension: 02079460000\nx\n\n")
    exchange.server.accounts.settle()
    (record,) = exchange.records
    assert (record.unique_id, record.dialled, record.number, record.id, record.reason) == ("", "", "", "", "error")


@in_a_loop
async def test_a_peer_that_has_gone_is_told_nothing_more_at_the_deadline() -> None:
    exchange = Exchange()
    begin, rest = forged()
    line = exchange.line(begin)
    line.receive(rest)
    line.wire.close()
    line.connection.abort("deadline")
    assert len(line.wire.commands) == 1
