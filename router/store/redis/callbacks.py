"""Attempts and callback claims in Redis, for any number of routers.

What lies there, below the prefix:
- attempts: NUMBER SUBSCRIBER ID -> the attempt as JSON; times: the same names by the moment of their end;
- reached:PAIR, failed:PAIR: the ids of a pair's attempts by their moment;
- pair:PAIR: used_at, the claims of its calls (c:CALL -> JSON) and their number, and rev, which changes with all that a
  claim looks at;
- claimed: names of attempts that gave a right, or that were called back;
- news: a stream of attempts that were written down and of rights that were given, its ids SEQ-0; calls: its epoch, its
  last seq, and that entry's id (head).

The rule itself is `dialplan.campaigns.callbacks.claim_of`: a claim reads, decides here, and is
written if rev is still the same.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from dialplan.campaigns.attempts import Attempt, Heard, Outcome, merged
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS, Claim, ClaimStatus, History, claim_of, used_until
from router.config.limits import (
    ATTEMPT_CHANGES_MAX,
    ATTEMPT_KEEP_SECONDS,
    CALLBACK_PAIR_CLAIMS_MAX,
    HISTORY_ATTEMPTS_MAX,
    PURGE_ROWS_AT_ONCE,
    REDIS_ATTEMPT_CHANGES_MAX,
    REDIS_TRIES,
    STORE_BATCH_ROWS,
)
from router.store.api import AttemptChanges, Recorded, StoreError, Use
from router.store.redis import callback_scripts as scripts
from router.store.redis.address import Address, Options
from router.store.redis.connection import Link, Script
from router.store.redis.scripts import SCAN

_KEEP = int(2 * ATTEMPT_KEEP_SECONDS)  # nothing is forgotten later than that, whatever becomes of the routers
_encode = msgspec.json.Encoder().encode


class _Claimed(msgspec.Struct, frozen=True):
    """What a call was told; `attempt` is the id of the one that gives its right, or gave it."""

    status: ClaimStatus = msgspec.field(name="verdict")  # as it is stored
    attempt: str
    at: float
    used_at: float | None


_decode_attempt = msgspec.json.Decoder(Attempt).decode
_decode_claimed = msgspec.json.Decoder(_Claimed).decode


class _Pair(NamedTuple):
    number: str
    subscriber: str

    def name(self, attempt_id: str) -> str:
        """What an attempt of this pair is called among all of them."""
        return f"{self.number} {self.subscriber} {attempt_id}"


class _Change(NamedTuple):
    """An attempt to be written: its place among those that were told, its name, and what is kept under it now."""

    place: int
    name: str
    before: bytes
    after: Recorded


class RedisCallbackStore:
    """The store at an address; see `router.store.api.CallbackStore` for what each method promises."""

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self.link = Link(address, options)
        self._waiting = Link(address, options, 1)
        self._prefix = self.link.prefix
        names = ("attempts", "times", "claimed", "news", "calls")
        self._attempts, self._times, self._claimed, self._news, self._calls = (
            f"{self._prefix}:{name}" for name in names
        )

    def _keys(self, pair: _Pair) -> tuple[str, str, str]:
        """pair, reached and failed."""
        shown = f"{pair.number} {pair.subscriber}"
        return f"{self._prefix}:pair:{shown}", f"{self._prefix}:reached:{shown}", f"{self._prefix}:failed:{shown}"

    def _error(self, text: str) -> StoreError:
        return StoreError(f"store {self.address.shown}: {text}")

    async def open(self, *, make: bool = True) -> None:
        """See that it is there. Raises StoreError."""
        await self._cursor(make=make)

    async def close(self) -> None:
        """Close every connection."""
        await self.link.close()
        await self._waiting.close()

    async def record(self, attempts: Sequence[Attempt]) -> list[Recorded]:
        """Write attempts down; where others write the same ones, look again. Raises StoreError."""
        recorded: dict[int, Recorded] = {}
        for _ in range(REDIS_TRIES):
            # Of two words about one attempt the second waits for its turn: it builds on the first.
            now = {_name(each): (at, each) for at, each in reversed(list(enumerate(attempts))) if at not in recorded}
            if not now:
                return [recorded[place] for place in range(len(attempts))]
            known = await self._bodies(now)
            changes: list[_Change] = []
            for name, (place, told) in now.items():
                before = known.get(name)
                attempt, heard = merged(self._read(before) if before is not None else None, told)
                if heard is Heard.KNOWN:
                    recorded[place] = Recorded(attempt, heard)
                else:
                    changes.append(_Change(place, name, before or b"", Recorded(attempt, heard)))
            if changes:
                for change, done in zip(changes, await self._write(changes), strict=True):
                    if done:
                        recorded[change.place] = change.after
        raise self._error("too many words about one attempt at once")

    async def _bodies(self, names: Iterable[str]) -> dict[str, bytes]:
        """What is kept under these names."""
        asked = list(names)
        (bodies,) = await self.link.script(scripts.NAMED, (self._attempts,), *asked)
        return {name: body for name, body in zip(asked, bodies, strict=True) if body is not None}

    async def _named(self, names: Iterable[str]) -> dict[str, Attempt]:
        """The attempts of these names that are there."""
        return {name: self._read(body) for name, body in (await self._bodies(names)).items()}

    async def _write(self, changes: Sequence[_Change]) -> list[int]:
        """Write attempts that are still as they were; 1 for each that was."""
        keys = [self._calls, self._attempts, self._times, self._news]
        values: list[str | bytes | float] = [uuid.uuid4().hex, REDIS_ATTEMPT_CHANGES_MAX, _KEEP]
        for change in changes:
            attempt = change.after.attempt
            keys += self._keys(_Pair(attempt.number, attempt.subscriber))
            values += (change.name, attempt.id, change.before, _encode(attempt), attempt.at)
            values.append("failed" if attempt.outcome is Outcome.FAILED else "reached")
        (results,) = await self.link.script(scripts.WRITE, keys, *values)
        return list(results)

    def _read(self, body: bytes) -> Attempt:
        try:
            return _decode_attempt(body)
        except msgspec.DecodeError as error:
            raise self._error(f"an attempt cannot be read ({error}); was it made by a newer version?") from error

    def _read_claimed(self, body: bytes) -> _Claimed:
        try:
            return _decode_claimed(body)
        except msgspec.DecodeError as error:
            raise self._error(f"a claim cannot be read ({error}); was it made by a newer version?") from error

    async def claim(
        self, number: str, subscriber: str, call_id: str, began: float, since: Mapping[str, float]
    ) -> Claim:
        """Read, decide, and write it if nothing has changed meanwhile. Raises StoreError."""
        pair = _Pair(number, subscriber)
        for _ in range(REDIS_TRIES):
            known, rev, used_at, attempts = await self._look(pair, call_id)
            if known is not None:
                of_claim = next((each for each in attempts if each.id == known.attempt), None)
                return Claim(known.status, of_claim, again=True)
            if not attempts:
                return Claim(ClaimStatus.NONE)
            claim = claim_of(History(tuple(attempts), used_at), since, began=began)
            if await self._claims(pair, call_id, rev, claim, began):
                return claim
        raise self._error("too many callbacks of one subscriber at once")

    async def _look(self, pair: _Pair, call_id: str) -> tuple[_Claimed | None, bytes, float | None, list[Attempt]]:
        """What the call was told before, and what a claim looks at."""
        keys = (*self._keys(pair)[:2], self._attempts)
        known, rev, used_at, bodies = await self.link.script(
            scripts.LOOK, keys, call_id, HISTORY_ATTEMPTS_MAX, pair.name("")
        )
        return (
            self._read_claimed(known) if known is not None else None,
            rev,
            float(used_at) if used_at is not None else None,
            [self._read(body) for body in bodies if body is not None],
        )

    async def _claims(self, pair: _Pair, call_id: str, rev: bytes, claim: Claim, began: float) -> bool:
        name = claim.attempt.id if claim.attempt is not None else ""
        used_at = used_until(claim, began)
        body = _encode(_Claimed(claim.status, name, began, used_at))
        values = (call_id, rev, body, "" if used_at is None else used_at, pair.name(name) if name else "", _KEEP)
        limits = (uuid.uuid4().hex, CALLBACK_PAIR_CLAIMS_MAX, REDIS_ATTEMPT_CHANGES_MAX)
        keys = (self._keys(pair)[0], self._claimed, self._calls, self._news)
        (told,) = await self.link.script(scripts.CLAIM, keys, *values, *limits)
        return bool(told == b"done")

    async def history(self, number: str, subscriber: str, until: float) -> History:
        """What was known of a pair then. Raises StoreError."""
        pair = _Pair(number, subscriber)
        latest = until + CLOCKS_APART_SECONDS
        ids, told = await self.link.script(scripts.HISTORY, self._keys(pair), latest, HISTORY_ATTEMPTS_MAX)
        found = await self._named(pair.name(each.decode()) for each in ids)
        claims = [self._read_claimed(each) for each in told[1::2]]
        used_at = max((each.used_at for each in claims if each.used_at is not None and each.at < until), default=None)
        newest = sorted(found.values(), key=lambda each: (each.at, each.id), reverse=True)
        return History(tuple(newest), used_at)

    async def uses(self, number: str, subscriber: str, until: float) -> list[Use]:
        """The calls that used up a right of a pair until then, the first one first. Raises StoreError."""
        _, told = await self.link.script(scripts.HISTORY, self._keys(_Pair(number, subscriber)), "-inf", 0)
        claims = [(call.decode(), self._read_claimed(body)) for call, body in zip(told[::2], told[1::2], strict=True)]
        found = [Use(call, each.at, each.used_at) for call, each in claims if each.used_at is not None]
        return sorted((each for each in found if each.at < until), key=lambda each: (each.used_at, each.call_id))

    async def attempts(self, number: str | None, subscriber: str | None, limit: int) -> list[Attempt]:
        """The newest attempts first. Raises StoreError."""
        found: dict[str, Attempt] = {}  # those that come meanwhile move the others to a later page
        place = 0
        while len(found) < limit:
            (names,) = await self.link.script(scripts.NEWEST, (self._times,), place, place + STORE_BATCH_ROWS - 1)
            if not names:
                break
            place += len(names)
            wanted = [name for name in map(bytes.decode, names) if _matches(name, number, subscriber)]
            known = await self._named(wanted)
            found |= {name: known[name] for name in wanted if name in known}
        return sorted(found.values(), key=lambda each: (each.at, each.id), reverse=True)[:limit]

    async def changes(self, cursor: str, seconds: float) -> AttemptChanges:
        """What the stream has since; everything where it does not reach back so far. Raises StoreError."""
        end = time.monotonic() + seconds
        epoch, _, place = cursor.partition(":")
        known, _, head = place.partition(":")
        while known.isdigit():
            keys = (self._calls, self._news)
            told, bodies, last = await self.link.script(scripts.SINCE, keys, epoch, known, head, ATTEMPT_CHANGES_MAX)
            if told != b"ok":
                break
            left = end - time.monotonic()
            if bodies:
                cursor = f"{epoch}:{int(known) + len(bodies)}:{last.decode()}"
                return AttemptChanges(cursor, full=False, attempts=[self._read(body) for body in bodies if body])
            if left <= 0:
                return AttemptChanges(cursor, full=False, attempts=[])
            await self._waiting.newer(self._news, f"{known}-0", left)
        cursor = await self._cursor()
        return AttemptChanges(cursor, full=True, attempts=await self._mattering())

    async def _cursor(self, *, make: bool = True) -> str:
        made = uuid.uuid4().hex if make else ""
        epoch, seq, head = await self.link.script(scripts.CURSOR, (self._calls, self._news), made)
        return f"{epoch.decode()}:{int(seq)}:{head.decode()}"

    async def _mattering(self) -> list[Attempt]:
        """All attempts that may matter to a callback; see AttemptChanges."""
        missed: dict[str, Attempt] = {}
        answered: dict[str, Attempt] = {}
        async for page in self._pages(SCAN, self._attempts):
            for attempt in map(self._read, page[1::2]):
                if attempt.outcome is not Outcome.FAILED:
                    (missed if attempt.outcome is Outcome.MISSED else answered)[_name(attempt)] = attempt
            await asyncio.sleep(0)  # calls go first
        pairs = {(each.number, each.subscriber) for each in missed.values()}
        claimed: set[str] = set()
        async for page in self._pages(scripts.CLAIMED, self._claimed):
            claimed.update(map(bytes.decode, page))
        ended = [each for name, each in answered.items() if (each.number, each.subscriber) in pairs or name in claimed]
        return [*missed.values(), *ended]

    async def _pages(self, scan: Script, key: str) -> AsyncIterator[list[bytes]]:
        """All that is under a key, page by page: callbacks have their turn in between."""
        cursor, served_by = b"0", None
        while True:
            server, (cursor, page) = await self.link.script(scan, (key,), cursor, PURGE_ROWS_AT_ONCE)
            if served_by not in (None, server):
                raise self._error("another server took over while it was read; read it again")
            served_by = server
            yield page
            if cursor == b"0":
                return

    async def purge(self, since: Mapping[str, float], otherwise: float) -> int:
        """Delete what is too old to matter, by the server's clock too, page by page. Raises StoreError."""
        ahead = await self._ahead()
        since, otherwise = {name: moment - ahead for name, moment in since.items()}, otherwise - ahead
        gone = place = 0
        moment = b"-inf"
        latest = max([*since.values(), otherwise])
        while True:
            asked = (moment, latest, place, PURGE_ROWS_AT_ONCE)
            (page,) = await self.link.script(scripts.OLDEST, (self._times,), *asked)
            if not page:
                return gone
            names = {name.decode(): at for name, at in zip(page[::2], page[1::2], strict=True)}
            found = await self._named(names)
            for name in set(names) - set(found):  # of an attempt that is not there any more
                await self.link.script(scripts.UNLIST, (self._times,), name)
            old = [each for each in found.values() if _is_old(each, since, otherwise)]
            await self._drop([each for each in old if each.outcome is not Outcome.ANSWERED])
            # An answer ends older rights, those of campaigns with a longer window too: it stays as long as they do.
            answered = [each for each in old if each.outcome is Outcome.ANSWERED]
            ended = [each for each in answered if each.at < otherwise or not await self._is_missed(each)]
            await self._drop(ended)
            dropped = {_name(each) for each in old if each.outcome is not Outcome.ANSWERED}
            dropped |= {_name(each) for each in ended}
            gone += len(dropped)
            # Those that stay are passed over by their moment: a place far behind would take Redis long to find.
            last = page[-1]
            staying = sum(at == last for name, at in names.items() if name in found and name not in dropped)
            place = staying + (place if last == moment else 0)
            moment = last

    async def _ahead(self) -> float:
        """By how many seconds this router's clock is ahead: it would delete for all what is not too old."""
        here = time.time()
        (microseconds,) = await self.link.script(scripts.CLOCK, (self._times,))
        return 0.0 if microseconds is None else max(0.0, here - int(microseconds) / 1e6)

    async def _is_missed(self, attempt: Attempt) -> bool:
        """Whether the pair of an attempt has a missed one."""
        _, _, _, of_pair = await self._look(_Pair(attempt.number, attempt.subscriber), "")
        return any(each.outcome is Outcome.MISSED for each in of_pair)

    async def _drop(self, attempts: Sequence[Attempt]) -> None:
        if not attempts:
            return
        keys = [self._attempts, self._times, self._claimed]
        values: list[str | bytes | float] = []
        for attempt in attempts:
            keys += self._keys(_Pair(attempt.number, attempt.subscriber))
            values += (_name(attempt), attempt.id)
        await self.link.script(scripts.DROP, keys, *values)

    @property
    def pending_count(self) -> int:
        """None: this is the store."""
        return 0

    async def pending(self) -> list[Attempt]:
        """None: whoever cannot write them down here says so."""
        return []


def _is_old(attempt: Attempt, since: Mapping[str, float], otherwise: float) -> bool:
    """Whether an attempt is past its campaign's moment, an answered one past all of them, any one past `otherwise`."""
    if attempt.outcome is Outcome.ANSWERED:
        return attempt.at < max(otherwise, min(since.values(), default=otherwise))
    return attempt.at < max(otherwise, since.get(attempt.campaign, otherwise))


def _name(attempt: Attempt) -> str:
    return _Pair(attempt.number, attempt.subscriber).name(attempt.id)


def _matches(name: str, number: str | None, subscriber: str | None) -> bool:
    its_number, its_subscriber, _ = name.split(" ", 2)
    return number in (None, its_number) and subscriber in (None, its_subscriber)
