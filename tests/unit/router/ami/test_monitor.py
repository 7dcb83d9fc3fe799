"""Sessions of the monitor: refused, lost and begun again, and what each Asterisk says of itself."""

import asyncio
from pathlib import Path

import pytest

from router.ami import monitor as watch
from router.config.limits import AMI_RETRY_MAX_SECONDS, AMI_RETRY_MIN_SECONDS
from tests.unit.router.ami.peers import SECRET, Peer, Serve
from tests.unit.router.ami.watching import (
    BEGIN,
    CLOSED,
    HANGUP,
    REFUSED,
    RINGING,
    Watched,
    nothing_kept,
    refuses,
    rings,
)

# --- sessions -------------------------------------------------------------------------------------------------------


async def test_a_refused_login_is_tried_again_and_said_once(watched: Watched) -> None:
    async with watched.over(refuses, refuses, refuses, rings("1")):
        assert await watched.until_told(1) == ["1"]
        assert watched.connected == 1
    assert watched.sessions == 4
    assert [entry["why"] for entry in watched.said("ami_down")] == [REFUSED]
    assert [entry["asterisk"] for entry in watched.lines] == ["pbx1"] * len(watched.lines)
    assert SECRET not in str(watched.lines)


async def test_pauses_double_up_to_their_bound_and_are_spread(watched: Watched) -> None:
    async with watched.over(*[refuses] * 12):
        await watched.paused(12)
    longest = [min(AMI_RETRY_MIN_SECONDS * 2**step, AMI_RETRY_MAX_SECONDS) for step in range(12)]
    assert longest[-1] == AMI_RETRY_MAX_SECONDS
    assert all(most / 2 <= pause <= most for pause, most in zip(watched.pauses, longest, strict=False))
    assert len({pause / most for pause, most in zip(watched.pauses, longest, strict=False)}) > 6


async def test_after_a_session_that_lasted_the_next_try_comes_soon(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "AMI_STEADY_SECONDS", -1.0)  # every one has
    async with watched.over(*[refuses] * 8):
        await watched.paused(8)
    assert max(watched.pauses) <= AMI_RETRY_MIN_SECONDS


async def test_the_metric_tells_whether_the_session_is_up(watched: Watched) -> None:
    end = asyncio.Event()

    async def ends(peer: Peer) -> None:
        await nothing_kept(peer)
        await peer.say((BEGIN + RINGING + HANGUP).format(name="1"))
        await end.wait()

    async with watched.over(ends):
        await watched.until_told(1)
        assert watched.connected == 1
        end.set()
        await watched.paused(1)
        assert watched.connected == 0


async def test_an_asterisk_that_was_never_there_is_counted_as_down(watched: Watched) -> None:
    async with watched.over():
        assert watched.connected in (None, 0)
        await watched.paused(1)
        assert watched.connected == 0


async def test_each_loss_of_a_session_that_was_up_is_said(watched: Watched) -> None:
    """The second loss has the same reason as the first: the log must not end with `ami_up` all the same."""
    async with watched.over(nothing_kept, nothing_kept, refuses, refuses):
        await watched.paused(4)
    said = [(entry["event"], entry.get("why")) for entry in watched.lines if entry["log_level"] != "debug"]
    assert said[:5] == [("ami_up", None), ("ami_down", CLOSED)] * 2 + [("ami_down", REFUSED)]
    assert [why for event, why in said if event == "ami_down"].count(REFUSED) == 1


async def test_a_secret_file_that_is_missing_is_named_and_looked_for_again(watched: Watched) -> None:
    watched.secret_file.unlink()
    async with watched.over(rings("1")):
        await watched.paused(3)
        assert watched.sessions == 0
        assert watched.connected == 0
        watched.secret_file.write_text(SECRET)
        await watched.until_told(1)
    (entry,) = watched.said("ami_down")
    assert entry["why"] == f"secret_file {watched.secret_file}: No such file or directory"


@pytest.mark.parametrize("content", [b"\xff\xfe\xfd", None])
async def test_a_secret_file_that_cannot_be_read_is_named(watched: Watched, content: bytes | None) -> None:
    watched.secret_file.unlink()
    if content is None:
        watched.secret_file.mkdir()
    else:
        watched.secret_file.write_bytes(content)
    async with watched.over():
        await watched.paused(2)
    (entry,) = watched.said("ami_down")
    assert str(watched.secret_file) in entry["why"]


async def test_a_path_that_no_file_can_have_does_not_end_the_router(watched: Watched) -> None:
    watched.secret_file = Path("/etc/ami\0.secret")
    async with watched.over():
        await watched.paused(2)
    assert "null byte" in watched.said("ami_down")[0]["why"]


async def test_the_secret_is_read_anew_for_each_session(watched: Watched) -> None:
    watched.secret_file.write_text("the old one")

    async def refused_and_changed(peer: Peer) -> None:
        assert not await peer.let_in()
        watched.secret_file.write_text(SECRET)

    async with watched.over(refused_and_changed, rings("1")):
        await watched.until_told(1)


# --- system names ---------------------------------------------------------------------------------------------------


def named(reply: str) -> Serve:
    """A session of an Asterisk that says so when it is asked for its settings; then a call rings."""

    async def serve(peer: Peer) -> None:
        assert await peer.let_in()
        asked = await peer.action()
        assert asked["action"] == "CoreSettings"
        await peer.reply(asked, reply)
        await peer.reply(await peer.action(), "Response: Error\nMessage: Database entry not found")
        await peer.say((BEGIN + RINGING + HANGUP).format(name="1"))
        await peer.hold()

    return serve


@pytest.mark.parametrize(
    ("reply", "others", "said"),
    [
        ("Response: Success\nSystemName: leeds", {"pbx2": "london", "pbx1": "leeds"}, []),
        ("Response: Success\nSystemName: ", {}, ["ami_no_system_name"]),
        ("Response: Success", {"pbx2": ""}, ["ami_no_system_name"]),
        ("Response: Success\nSystemName: london", {"pbx2": "london"}, ["ami_same_system_name"]),
        ("Response: Error\nMessage: Permission denied", {}, ["ami_system_name_unknown"]),
        ("Response: Follows\nMessage: x", {}, ["ami_system_name_unknown"]),
        ("Event: X\nSystemName: x", {}, ["ami_system_name_unknown"]),
    ],
)
async def test_the_systems_name_is_advice_and_the_session_goes_on(
    watched: Watched, reply: str, others: dict[str, str], said: list[str]
) -> None:
    watched.system_names = others
    async with watched.over(named(reply)):
        assert await watched.until_told(1) == ["1"]
        assert watched.connected == 1
    assert watched.sessions == 1
    warned = [line["event"] for line in watched.lines if line["log_level"] == "warning"]
    assert [event for event in warned if event != "ami_down"] == said
