"""The Lua that Redis runs for attempts and claims; `callbacks` has the keys, and each file its own arguments.

Each may be run twice: what is there already is not written again.
"""

from router.store.redis.lua_script import load

CURSOR = load("attempts_cursor")
NAMED = load("attempts_named")
WRITE = load("attempts_write")
PAGE = load("attempts_page")
FOLLOW = load("attempts_follow")
ENLIST = load("attempts_enlist")
OLDEST = load("attempts_oldest")
SINCE = load("attempts_since")
CLAIMED = load("attempts_claimed")
UNLIST = load("attempts_unlist")
DROP = load("attempts_drop")
PURGED = load("attempts_purged")
LOOK = load("claim_look")
CLAIM = load("claim_write")
HISTORY = load("pair_history")
CLOCK = load("clock")
NEXT = load("counter_next")
