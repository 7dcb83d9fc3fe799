"""What a Redis says of itself to `ringway doctor`: its user's rights, what it throws away, what it keeps, its clock.

Nothing is changed: rights are asked for by `redis.acl_check_cmd` inside a script, which gives no command.
"""

import time

import msgspec

from router.store.api import Inspection
from router.store.redis.callback_scripts import CLOCK
from router.store.redis.connection import Link
from router.store.redis.lua_script import load
from router.store.redis.scripts import MEMORY

RIGHTS = load("rights")
PERSISTENCE = load("persistence")
_KEY = "KEY"
# The commands of the user that docs/redis.md has, each with arguments that are right for it. client|setname, a
# Cluster's and another database's are not among them: without those no connection comes to be.
_COMMANDS = (
    "eval s 1 KEY",
    "evalsha s 1 KEY",
    "xread STREAMS KEY 0",
    "info server",
    "exists KEY",
    "get KEY",
    "set KEY v",
    "del KEY",
    "expire KEY 1",
    "persist KEY",
    "pexpire KEY 1",
    "incr KEY",
    "hget KEY f",
    "hset KEY f v",
    "hmget KEY f",
    "hdel KEY f",
    "hexists KEY f",
    "hgetall KEY",
    "hincrby KEY f 1",
    "hscan KEY 0",
    "llen KEY",
    "lindex KEY 0",
    "lrange KEY 0 1",
    "rpush KEY v",
    "sadd KEY v",
    "srem KEY v",
    "sscan KEY 0",
    "xadd KEY * f v",
    "xdel KEY 1-0",
    "xlen KEY",
    "xrange KEY - +",
    "zadd KEY 1 v",
    "zcard KEY",
    "zrem KEY v",
    "zrangebyscore KEY 0 1",
    "zrevrange KEY 0 1",
    "zrevrangebyscore KEY 1 0",
)
RIGHTS_WANTED = tuple(command.partition(" ")[0] for command in _COMMANDS)


async def inspect(link: Link) -> Inspection:
    """Ask it. Raises StoreError."""
    key = f"{link.prefix}:meta"
    commands = [[key if word == _KEY else word for word in command.split()] for command in _COMMANDS]
    told, *places = await link.script(RIGHTS, (key,), msgspec.json.encode(commands))
    refused = tuple(RIGHTS_WANTED[place - 1] for place in places[0]) if told == b"told" else None
    if refused and "info" in refused:  # the rest is told by that command alone
        return Inspection(refused)
    limit, policy = await link.script(MEMORY, (key,))
    (appends,) = await link.script(PERSISTENCE, (key,))
    before = time.time()
    (clock,) = await link.script(CLOCK, (key,))
    after = time.time()
    return Inspection(
        refused,
        policy=policy.decode() if policy is not None else "",
        limited=limit not in (None, b"0"),
        appends=None if appends is None else appends == b"1",
        clock_ahead=None if clock is None else int(clock) / 1e6 - (before + after) / 2,
        clock_within=(after - before) / 2,
    )
