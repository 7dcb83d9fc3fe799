"""Attempts and callback claims in Redis, for any number of routers.

What lies there, below the prefix:
- attempts: NUMBER SUBSCRIBER ID -> the attempt as JSON; times: the same names by the moment of their end;
- of-number:NUMBER, of-subscriber:SUBSCRIBER, of-campaign:CAMPAIGN: the same of one of these;
- reached:PAIR, failed:PAIR: the ids of a pair's attempts by their moment;
- pair:PAIR: used_at, the claims of its calls (c:CALL -> JSON) and their number, and rev, which changes with all that a
  claim looks at;
- claimed: names of attempts that gave an entitlement, or that were called back;
- news: a stream of attempts that were written down and of entitlements that were granted, its ids SEQ-0; calls: its
  epoch, its last seq, and that entry's id (head); EPOCH:SEQ up to which the lists of-… have all of it (listed); and by
  which moment attempts were purged last (purged).

The lists follow the stream, off the way of a report: before somebody asks for one, with each purge, and when a router
has been told of many attempts.

A claim reads, is decided here by `router.store.callback_rules`, and is written if rev is still the same; else it begins
again.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from dialplan.campaigns.attempts import Attempt, Heard, Outcome, merged
from dialplan.campaigns.callbacks import CLOCKS_APART_SECONDS, Claim, History
from dialplan.campaigns.retention import Cutoffs, Relevant, is_past, stays_with_missed
from dialplan.shards import Shards, let_go, untracked
from router.config.limits import (
    ATTEMPT_CHANGES_MAX,
    ATTEMPT_KEEP_SECONDS,
    ATTEMPTS_DROPPED_AT_ONCE,
    ATTEMPTS_LISTED_AT_ONCE,
    ATTEMPTS_PAGE_MAX,
    ATTEMPTS_UNLISTED_MAX,
    CALLBACK_PAIR_CLAIMS_MAX,
    HISTORY_ATTEMPTS_MAX,
    PURGE_PAIRS_AT_ONCE,
    PURGE_ROWS_AT_ONCE,
    REDIS_ATTEMPT_CHANGES_MAX,
    REDIS_TRIES,
)
from router.store.api import AttemptChanges, AttemptPlace, Recorded, StoreError, Use, place_of
from router.store.callback_rules import ClaimRecord, decided
from router.store.redis import callback_scripts as scripts
from router.store.redis.address import Address, Options
from router.store.redis.connection import Link
from router.store.redis.lua_script import Script
from router.store.redis.scripts import SCAN
from router.util.turns import in_turns

_KEEP = int(2 * ATTEMPT_KEEP_SECONDS)  # nothing stays longer than that, whatever becomes of the routers
_encode = msgspec.json.Encoder().encode
_decode_attempt = msgspec.json.Decoder(Attempt).decode
_decode_claim = msgspec.json.Decoder(ClaimRecord).decode


class _Pair(NamedTuple):
    number: str
    subscriber: str

    def name(self, attempt_id: str) -> str:
        """What an attempt of this pair is called among all of them."""
        return f"{self.number} {self.subscriber} {attempt_id}"


class _Write(NamedTuple):
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
        self._lists = f"{self._prefix}:of-"
        self._unlisted = 0  # attempts that this router has been told of since the lists were whole
        names = ("attempts", "times", "claimed", "news", "calls")
        self._attempts, self._times, self._claimed, self._news, self._calls = (
            f"{self._prefix}:{name}" for name in names
        )

    def _keys(self, pair: _Pair) -> tuple[str, str, str]:
        """pair, reached and failed."""
        shown = f"{pair.number} {pair.subscriber}"
        return f"{self._prefix}:pair:{shown}", f"{self._prefix}:reached:{shown}", f"{self._prefix}:failed:{shown}"

    def _lists_of(self, attempt: Attempt) -> tuple[str, str, str]:
        """The lists in which an attempt stands: of its number, its subscriber, its campaign."""
        return (
            f"{self._lists}number:{attempt.number}",
            f"{self._lists}subscriber:{attempt.subscriber}",
            f"{self._lists}campaign:{attempt.campaign}",
        )

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
            writes: list[_Write] = []
            for name, (place, told) in now.items():
                before = known.get(name)
                attempt, heard = merged(self._read(before) if before is not None else None, told)
                if heard is Heard.KNOWN:
                    recorded[place] = Recorded(attempt, heard)
                else:
                    writes.append(_Write(place, name, before or b"", Recorded(attempt, heard)))
            if writes:
                for write, done in zip(writes, await self._write(writes), strict=True):
                    if done:
                        recorded[write.place] = write.after
        raise self._error("too many words about one attempt at once")

    async def _bodies(self, names: Iterable[str]) -> dict[str, bytes]:
        """What is kept under these names."""
        asked = list(names)
        (bodies,) = await self.link.script(scripts.NAMED, (self._attempts,), *asked)
        return {name: body for name, body in zip(asked, bodies, strict=True) if body is not None}

    async def _named(self, names: Iterable[str]) -> dict[str, Attempt]:
        """The attempts of these names that are there."""
        return {name: self._read(body) for name, body in (await self._bodies(names)).items()}

    async def _write(self, writes: Sequence[_Write]) -> list[int]:
        """Write attempts that are still as they were; 1 for each that was."""
        keys = [self._calls, self._attempts, self._times, self._news]
        values: list[str | bytes | float] = [uuid.uuid4().hex, REDIS_ATTEMPT_CHANGES_MAX, _KEEP]
        for write in writes:
            attempt = write.after.attempt
            keys += self._keys(_Pair(attempt.number, attempt.subscriber))
            values += (write.name, attempt.id, write.before, _encode(attempt), attempt.at)
            values.append("failed" if attempt.outcome is Outcome.FAILED else "reached")
        (results,) = await self.link.script(scripts.WRITE, keys, *values)
        return list(results)

    def _read(self, body: bytes) -> Attempt:
        try:
            return _decode_attempt(body)
        except msgspec.DecodeError as error:
            raise self._error(f"an attempt cannot be read ({error}); was it made by a newer version?") from error

    def _read_claim(self, body: bytes) -> ClaimRecord:
        try:
            return _decode_claim(body)
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
                return known.again(next((each for each in attempts if each.id == known.attempt), None))
            claim, record = decided(History(tuple(attempts), used_at), since, began)
            if record is None or await self._keep_claim(pair, call_id, rev, record):
                return claim
        raise self._error("too many callbacks of one subscriber at once")

    async def _look(self, pair: _Pair, call_id: str) -> tuple[ClaimRecord | None, bytes, float | None, list[Attempt]]:
        """What the call was told before, and what a claim looks at."""
        keys = (*self._keys(pair)[:2], self._attempts)
        known, rev, used_at, bodies = await self.link.script(
            scripts.LOOK, keys, call_id, HISTORY_ATTEMPTS_MAX, pair.name("")
        )
        return (
            self._read_claim(known) if known is not None else None,
            rev,
            float(used_at) if used_at is not None else None,
            [self._read(body) for body in bodies if body is not None],
        )

    async def _keep_claim(self, pair: _Pair, call_id: str, rev: bytes, record: ClaimRecord) -> bool:
        """Write a claim if what it looked at is still of that revision; whether it was."""
        used_at = "" if record.used_at is None else record.used_at
        name = pair.name(record.attempt) if record.attempt else ""
        values = (call_id, rev, _encode(record), used_at, name, _KEEP)
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
        claims = [self._read_claim(each) for each in told[1::2]]
        used_at = max((each.used_at for each in claims if each.used_at is not None and each.at < until), default=None)
        newest = sorted(found.values(), key=lambda each: (each.at, each.id), reverse=True)
        return History(tuple(newest), used_at)

    async def uses(self, number: str, subscriber: str, until: float) -> list[Use]:
        """The calls that consumed an entitlement of a pair until then, the first one first. Raises StoreError."""
        _, told = await self.link.script(scripts.HISTORY, self._keys(_Pair(number, subscriber)), "-inf", 0)
        claims = [(call.decode(), self._read_claim(body)) for call, body in zip(told[::2], told[1::2], strict=True)]
        found = [Use(call, each.at, each.used_at) for call, each in claims if each.used_at is not None]
        return sorted((each for each in found if each.at < until), key=lambda each: (each.used_at, each.call_id))

    async def attempts(
        self,
        number: str | None,
        subscriber: str | None,
        limit: int,
        *,
        campaign: str | None = None,
        after: AttemptPlace | None = None,
    ) -> list[Attempt]:
        """The newest attempts first. Raises StoreError."""
        lists, prefix = [self._times], ""
        if number is not None and subscriber is not None:
            pair = _Pair(number, subscriber)
            lists, prefix = list(self._keys(pair)[1:]), pair.name("")
        elif number is not None or subscriber is not None or campaign is not None:
            await self._list_all()
            of = {"subscriber": subscriber, "number": number, "campaign": campaign}
            lists = [next(f"{self._lists}{kind}:{value}" for kind, value in of.items() if value is not None)]
        found: dict[AttemptPlace, Attempt] = {}
        for each in lists:
            found |= await self._first(each, prefix, limit, campaign, after)
        return [attempt for _, attempt in sorted(found.items(), reverse=True)][:limit]

    async def _first(
        self, key: str, prefix: str, limit: int, campaign: str | None, after: AttemptPlace | None
    ) -> dict[AttemptPlace, Attempt]:
        """The first attempts of a list, behind a place in it. `prefix`: what its names lack."""
        found: dict[AttemptPlace, Attempt] = {}
        moment: bytes | float = b"+inf" if after is None else after.at
        place = 0
        while len(found) < limit:
            count = min(limit - len(found) + 1, ATTEMPTS_PAGE_MAX)
            entries, bodies = await self.link.script(scripts.PAGE, (self._attempts, key), moment, place, count, prefix)
            for attempt in (self._read(body) for body in bodies if body is not None):
                at = place_of(attempt)
                if (after is None or at < after) and campaign in (None, attempt.campaign):
                    found[at] = attempt
            moments = entries[1::2]
            if len(moments) < count:
                break
            # Those that stay are passed over by their moment: a place far behind would take Redis long to find.
            last = moments[-1]
            staying = sum(at == last and body is not None for at, body in zip(moments, bodies, strict=True))
            place = staying + (place if float(last) == float(moment) else 0)
            moment = last
        return found

    async def _list_new(self) -> bool:
        """Let the lists follow the stream, whichever version wrote to it; whether they are whole. Raises StoreError."""
        self._unlisted = 0
        keys, told = (self._calls, self._attempts, self._news), b"more"
        while told == b"more":
            (told,) = await self.link.script(scripts.FOLLOW, keys, self._lists, _KEEP, ATTEMPTS_LISTED_AT_ONCE)
        return bool(told == b"whole")

    async def _list_all(self) -> None:
        """Have the lists whole; where the stream does not reach back so far, by all attempts. Raises StoreError."""
        if await self._list_new():
            return
        epoch, seq, _ = await self.link.script(scripts.CURSOR, (self._calls, self._news), "")
        keys = (self._calls, self._attempts)
        async for page in self._pages(SCAN, self._attempts):
            bodies = page[1::2]
            for first in range(0, len(bodies), ATTEMPTS_LISTED_AT_ONCE):
                some = bodies[first : first + ATTEMPTS_LISTED_AT_ONCE]
                await self.link.script(scripts.ENLIST, keys, self._lists, _KEEP, "", "", *some)
        await self.link.script(scripts.ENLIST, keys, self._lists, _KEEP, epoch, seq)

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
                self._unlisted += len(bodies)
                if self._unlisted >= ATTEMPTS_UNLISTED_MAX:
                    await self._list_new()
                cursor = f"{epoch}:{int(known) + len(bodies)}:{last.decode()}"
                return AttemptChanges(cursor, full=False, pages=[tuple(self._read(body) for body in bodies if body)])
            if left <= 0:
                return AttemptChanges(cursor, full=False, pages=[])
            await self._waiting.newer(self._news, f"{known}-0", left)
        cursor = await self._cursor()
        return AttemptChanges(cursor, full=True, pages=await self._relevant())

    async def _cursor(self, *, make: bool = True) -> str:
        made = uuid.uuid4().hex if make else ""
        epoch, seq, head = await self.link.script(scripts.CURSOR, (self._calls, self._news), made)
        return f"{epoch.decode()}:{int(seq)}:{head.decode()}"

    async def _relevant(self) -> list[tuple[Attempt, ...]]:
        """All attempts that may matter to a callback, in pages: what grows with them has no long moment."""
        relevant = Relevant()
        async for page in self._pages(SCAN, self._attempts):
            bodies = page[1::2]
            for first in range(0, len(bodies), PURGE_PAIRS_AT_ONCE):
                for attempt in map(self._read, bodies[first : first + PURGE_PAIRS_AT_ONCE]):
                    relevant.add(_name(attempt), attempt)
                await asyncio.sleep(0)  # calls go first
        claimed: Shards[None] = Shards()
        async for page in self._pages(scripts.CLAIMED, self._claimed):
            claimed.update(dict.fromkeys(map(bytes.decode, page)))
        pages = []
        for found in relevant.pages(claimed):
            pages.append(untracked(found))
            await asyncio.sleep(0)
        leaving = [[shard] for shard in claimed.dicts]
        del claimed
        await in_turns(relevant.leaving())
        await in_turns(let_go(leaving))
        return pages

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

    async def purge(self, cutoffs: Cutoffs) -> int:
        """Delete what is past, by the server's clock too, page by page. Raises StoreError.

        The lists are made whole before: what has come since the last purge the stream still has.
        """
        await self._list_all()
        cutoffs = cutoffs.earlier(await self._ahead())
        gone = place = 0
        moment = b"-inf"
        while True:
            asked = (moment, cutoffs.latest, place, PURGE_ROWS_AT_ONCE)
            (page,) = await self.link.script(scripts.OLDEST, (self._times,), *asked)
            if not page:
                return gone
            names = {name.decode(): at for name, at in zip(page[::2], page[1::2], strict=True)}
            found = await self._named(names)
            for name in set(names) - set(found):  # of an attempt that is not there any more
                await self.link.script(scripts.UNLIST, (self._times,), name)
            past = [each for each in found.values() if is_past(each, cutoffs)]
            going = [each for each in past if not stays_with_missed(each, cutoffs)]
            await self._drop(going)
            # What is left is asked for its pair only now: missed ones may just have gone.
            left = [each for each in past if stays_with_missed(each, cutoffs)]
            ended = [each for each in left if not await self._is_missed(each)]
            await self._drop(ended)
            dropped = {_name(each) for each in (*going, *ended)}
            gone += len(dropped)
            # Those that stay are passed over by their moment: a place far behind would take Redis long to find.
            last = page[-1]
            staying = sum(at == last for name, at in names.items() if name in found and name not in dropped)
            place = staying + (place if last == moment else 0)
            moment = last

    async def purged_at(self) -> float | None:
        """By which moment the last purge went. Raises StoreError."""
        (moment,) = await self.link.script(scripts.PURGED, (self._calls,), "")
        return None if moment is None else float(moment)

    async def note_purge(self, moment: float) -> None:
        """Keep it. Raises StoreError."""
        await self.link.script(scripts.PURGED, (self._calls,), moment)

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
        for first in range(0, len(attempts), ATTEMPTS_DROPPED_AT_ONCE):
            keys = [self._attempts, self._times, self._claimed]
            values: list[str | bytes | float] = []
            for attempt in attempts[first : first + ATTEMPTS_DROPPED_AT_ONCE]:
                keys += (*self._keys(_Pair(attempt.number, attempt.subscriber)), *self._lists_of(attempt))
                values += (_name(attempt), attempt.id)
            await self.link.script(scripts.DROP, keys, *values)

    @property
    def pending_count(self) -> int:
        """None: this is the store."""
        return 0

    async def pending(self) -> list[Attempt]:
        """None: whoever cannot write them down here says so."""
        return []


def _name(attempt: Attempt) -> str:
    return _Pair(attempt.number, attempt.subscriber).name(attempt.id)
