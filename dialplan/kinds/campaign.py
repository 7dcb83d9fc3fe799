"""Campaigns, inbound and outbound."""

from enum import StrEnum

import msgspec

from dialplan.kinds.fields import Destination

CALLER_IDS_PER_CAMPAIGN = 1_000

CALLBACK_WINDOW_MAX_HOURS = 8_760  # a year


class Direction(StrEnum):
    """Which way a campaign calls."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Campaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An inbound or outbound campaign with its own destination."""

    id: str
    company: str
    name: str
    direction: Direction
    destination: Destination
    accept_incoming: bool = False
    callback_window_hours: int = 168
    caller_ids: tuple[str, ...] = ()  # E.164
    active: bool = True
