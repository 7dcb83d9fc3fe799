"""The server over real sockets: each call is answered rightly or safely, counted and recorded."""

import asyncio

import msgspec
import pytest

from tests.fastagi import environment, environment_lines, executed
from tests.unit.router.agi.serving import ended, reset, serving


async def test_a_call_is_answered_counted_and_recorded() -> None:
    async with serving() as served:
        call = await served.dial("02079460000", callerid="07700900123")
        await served.until_idle()
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        assert call.variables["ROUTE_CALLER"] == "+447700900123"
        assert len(call.commands) == 1
        await served.expect({("assigned", "call-flow"): 1})
        assert served.rejected() == {}
        assert served.count("decision_seconds_count") == 1
        (record,) = await served.recorded(1)
    assert record.unique_id == "1795316003.7"
    assert (record.dialled, record.number, record.caller) == ("02079460000", "+442079460000", "+447700900123")
    assert (record.reason, record.kind, record.id, record.company) == ("assigned", "call-flow", "flow-0", "acme")
    assert (record.destination, record.version) == ("flow-0,s,1", 1)
    assert record.duration_ms >= 0


async def test_of_the_calls_that_are_counted_together_one_is_told_of() -> None:
    async with serving() as served:
        told: list[str] = []
        served.server.accounts._tell_decided = told.append
        for _ in range(3):
            await served.dial("02079460000")
        await served.until_idle()
        await served.recorded(3)
        assert 1 <= len(told) <= 3
        assert set(told) == {"1795316003.7"}
        told.clear()
        served.server.accounts.settle()
        assert told == []


@pytest.mark.parametrize("size", [1, 2, 3, 100, 10_000])
async def test_the_block_may_come_in_pieces_of_any_size(size: int) -> None:
    block = environment({"agi_extension": "02079460000"})
    async with serving() as served:
        call = await served.call([block[at : at + size] for at in range(0, len(block), size)])
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        assert served.rejected() == {}


async def test_commands_that_go_ahead_wait_for_their_replies() -> None:
    async with serving() as served:
        reader, writer = await served.open(environment({"agi_extension": "02079469999"}))
        variables: dict[str, str] = {}
        lines = 0
        while "ROUTE_STATUS" not in variables:
            variables |= executed(await reader.readline())
            lines += 1
            for _ in range(20):  # the server would have had time to send the next one too early
                await asyncio.sleep(0)
            assert not reader._buffer  # type: ignore[attr-defined] # nothing may have come yet
            writer.write(b"200 result=0\n")
        assert await ended(reader, writer) == b""
        assert lines > 1
        assert {name for name in variables if name.startswith("PARAM_")} == {f"PARAM_P{index}" for index in range(60)}
        await served.expect({("assigned", "call-flow"): 1})
        assert len(await served.recorded(1)) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"510 Invalid or unknown command\n",
        b"520-Invalid command syntax.  Proper usage follows:\nUsage: EXEC\n\n520 End of proper usage.\n",
        b"200 result=-2\n",
        b"200 result=-1\n",
    ],
)
async def test_a_command_that_asterisk_does_not_take_revokes_the_answer_and_is_counted(reply: bytes) -> None:
    async with serving() as served:
        call = await served.call(environment_lines({"agi_extension": "02079469999"}), reply=reply)
        assert (call.variables["ROUTE_STATUS"], call.variables["ROUTE_REASON"]) == ("OK", "error")
        await served.until_idle()
        assert served.rejected() == {"bad-reply": 1}


@pytest.mark.parametrize("before", [b"", b"HANGUP\n"])
async def test_a_command_that_comes_too_late_for_its_caller_is_counted_apart_and_is_no_warning(before: bytes) -> None:
    dead = b"511 Command Not Permitted on a dead channel or intercept routine\n"
    async with serving() as served:
        call = await served.call(environment_lines({"agi_extension": "02079469999"}), reply=before + dead + b"HANGUP\n")
        assert len(call.commands) == 1
        await served.until_idle()
        assert served.rejected() == {"hangup": 1}
        await served.expect({("assigned", "call-flow"): 1})
        assert [entry["log_level"] for entry in served.log.entries] == ["info"]


@pytest.mark.parametrize("before", [b"", b"HANGUP\n"])
@pytest.mark.parametrize("after", [b"", b"HANGUP\n"])
async def test_a_hangup_around_the_reply_is_no_error(before: bytes, after: bytes) -> None:
    async with serving() as served:
        call = await served.call(reply=before + b"200 result=0\n" + after)
        assert call.variables["ROUTE_STATUS"] == "OK"
        await served.until_idle()
        assert served.rejected() == {}


async def test_a_caller_who_hung_up_during_the_block_is_no_error() -> None:
    async with serving() as served:
        call = await served.call([environment({"agi_extension": "02079460000"}) + b"HANGUP\n"])
        assert call.variables["ROUTE_CONTEXT"] == "flow-0"
        await served.until_idle()
        assert served.rejected() == {}


@pytest.mark.parametrize("how", ["eof", "rst"])
async def test_a_caller_who_goes_without_a_reply_was_decided_all_the_same(how: str) -> None:
    async with serving() as served:
        reader, writer = await served.open(environment({"agi_extension": "02079460000"}))
        await reader.readline()
        if how == "rst":
            reset(writer)
        else:
            writer.close()
        await served.until_idle()
        await served.expect({("assigned", "call-flow"): 1})
        assert served.rejected() == {}


@pytest.mark.parametrize("script", ["caller", "", "route/x"])
async def test_an_unknown_script_gets_no_answer_and_the_log_says_what_to_do(script: str) -> None:
    async with serving() as served:
        call = await served.call(environment_lines({"agi_network_script": script}))
        assert call.commands == []
        await served.until_idle()
        assert served.rejected() == {"unknown-script": 1}
        (entry,) = served.log.entries
        assert entry["script"] == script
        assert "/route" in entry["hint"]


async def test_a_handler_that_fails_costs_its_own_call_the_flow_and_nobody_elses() -> None:
    async with serving() as served:
        broken, *good = await asyncio.gather(
            served.dial("raise"), served.dial("02079460000"), served.dial("02079460000")
        )
        assert broken.variables["ROUTE_REASON"] == "error"
        assert broken.variables["ROUTE_CONTEXT"] == "ringway-default"
        assert broken.variables["ROUTE_STATUS"] == "OK"
        assert [call.variables["ROUTE_CONTEXT"] for call in good] == ["flow-0", "flow-0"]
        await served.until_idle()
        assert served.rejected() == {"internal": 1}
        await served.expect({("error", "default"): 1, ("assigned", "call-flow"): 2})
        failed = [entry for entry in served.log.entries if entry["event"] == "decision_failed"]
    assert failed[0]["unique_id"] == "1795316003.7"
    assert failed[0]["exc_info"]


@pytest.mark.parametrize(("masked", "caller"), [(False, "+447700900123"), (True, "…23")])
async def test_the_callers_number_is_masked_in_the_record_where_that_is_set(masked: bool, caller: str) -> None:
    async with serving(mask_callers=masked) as served:
        call = await served.dial("02079460000", callerid="07700900123")
        assert call.variables["ROUTE_CALLER"] == "+447700900123"
        (record,) = await served.recorded(1)
        assert record.caller == caller


@pytest.mark.parametrize(
    ("caller", "sent"),
    [
        ("0800-FLOWERS", "0800-FLOWERS"),
        ("sip:1@h,sip:2@h", "sip:1@h,sip:2@h"),
        ("12\x1b[2J", "12\x1b[2J"),  # the log escapes it
        ("c" * 5000, "c" * 64),
        *[(text, None) for text in ("", "anonymous", "unknown", '"Anonymous" <sip:anonymous@anonymous.invalid>')],
        ("07700900123", None),
    ],
)
async def test_the_record_shows_a_caller_that_cannot_be_read_and_nothing_of_a_withheld_one(
    caller: str, sent: str | None
) -> None:
    async with serving() as served:
        said = (await served.dial("02079460000", callerid=caller)).variables
        (record,) = await served.recorded(1)
    assert said["ROUTE_CALLER"] == record.caller == ("" if caller != "07700900123" else "+447700900123")
    assert record.caller_sent == (msgspec.UNSET if sent is None else sent)


async def test_what_came_as_the_caller_is_masked_too_where_that_is_set() -> None:
    async with serving(mask_callers=True) as served:
        await served.dial("02079460000", callerid="Anna 07700900123")
        (record,) = await served.recorded(1)
    assert record.caller_sent == "…23"


async def test_a_caller_that_may_not_be_shown_is_not_in_the_record() -> None:
    async with serving() as served:
        await served.dial("02079460000", callerid="FLOWERS", callingpres="32")
        (record,) = await served.recorded(1)
    assert record.caller_sent is msgspec.UNSET


async def test_the_log_of_a_failure_holds_no_more_of_a_strangers_text_than_its_bounds() -> None:
    async with serving() as served:
        await served.dial("raise", uniqueid="u" * 5000)
        await served.until_idle()
        assert [len(entry["unique_id"]) for entry in served.log.entries] == [150, 150]


async def test_the_record_holds_no_more_of_a_strangers_text_than_its_bounds() -> None:
    async with serving() as served:
        await served.dial("x" * 5000, uniqueid="u" * 5000, callerid="c" * 5000)
        (record,) = await served.recorded(1)
    assert len(record.dialled) == 64
    assert len(record.unique_id) == 150
    assert record.caller == ""


async def test_each_verb_is_timed_by_its_name_and_a_call_besides() -> None:
    async with serving() as served:
        for verb in ("route", "caller-id", "attempt"):
            await served.dial("02079460000", network_script=verb)
        for verb in ("route", "caller-id", "attempt"):
            assert served.count("agi_seconds_count", verb=verb) == 1
        assert served.count("decision_seconds_count") == 1


@pytest.mark.parametrize("verb", ["route", "caller-id", "attempt"])
async def test_a_verb_that_fails_is_timed_all_the_same_and_only_a_route_counts_as_a_decision(verb: str) -> None:
    async with serving() as served:
        call = await served.dial("raise", network_script=verb)
        assert call.variables["ROUTE_REASON"] == "error"
        await served.until_idle()
        assert served.count("agi_seconds_count", verb=verb) == 1
        await served.expect({("error", "default"): 1} if verb == "route" else {})
        assert served.count("decision_seconds_count") == len(served.records) == (verb == "route")
