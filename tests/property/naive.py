"""The rules once more, as plainly as they can be said, over entries as a data file has them. Slow and obvious."""

import datetime as dt
from typing import Any, NamedTuple

from dialplan.kinds.registry import RowKind
from tests.samples import Entry


class Assigned(NamedTuple):
    """What a number has for a time."""

    flow: str | None
    campaign: str | None
    values: dict[str, Any]


class Answer(NamedTuple):
    """What a caller gets."""

    reason: str
    kind: str
    target: str
    destination: tuple[str, str, int]
    parameters: dict[str, str]


def section(entries: list[Entry], kind: RowKind) -> dict[str, dict[str, Any]]:
    """The entries of a kind, by id or number."""
    return {values.get("id") or values["number"]: values for each, values in entries if each is kind}


def moment(text: str) -> float:
    """Epoch seconds of an update's time."""
    return dt.datetime.fromisoformat(text).timestamp()


def assigned(number: dict[str, Any], now: float) -> tuple[str, Assigned]:
    """The reason and the assignment of a number at `now`."""
    current = Assigned(number.get("call_flow"), number.get("inbound_campaign"), number.get("parameters", {}))
    reason = "assigned"
    for update in sorted(number["updates"], key=lambda each: moment(each["at"])):
        if moment(update["at"]) > now:
            break
        reason = "scheduled"
        names_one = "call_flow" in update or "inbound_campaign" in update
        flow = update.get("call_flow") if names_one else current.flow
        campaign = update.get("inbound_campaign") if names_one else current.campaign
        kept = current.values if flow == current.flow else {}
        current = Assigned(flow, campaign, update.get("parameters", kept))
    return reason, current


def place(values: dict[str, Any]) -> tuple[str, str, int]:
    """The destination of a flow or campaign."""
    destination = values["destination"]
    return destination["context"], destination.get("exten", "s"), destination.get("priority", 1)


def text(value: Any) -> str:
    """A value as a channel variable holds it."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def parameters(flow: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    """What the flow's parameters hold for a call."""
    return {each["name"]: text(values.get(each["name"], each.get("default"))) for each in flow["parameters"]}


def answer(entries: list[Entry], e164: str, now: float, default: tuple[str, str, int]) -> Answer:
    """Where a call to a readable number goes."""
    flows, campaigns = section(entries, RowKind.CALL_FLOW), section(entries, RowKind.CAMPAIGN)
    number = section(entries, RowKind.NUMBER).get(e164)
    if number is None:
        return Answer("unknown-number", "default", "", default, {})
    reason, current = assigned(number, now)
    if number["status"] == "disabled":
        reason = "disabled"
    elif current.flow is not None:
        flow = flows[current.flow]
        return Answer(reason, "call-flow", current.flow, place(flow), parameters(flow, current.values))
    elif current.campaign is not None and campaigns[current.campaign].get("active", True):
        return Answer(reason, "campaign", current.campaign, place(campaigns[current.campaign]), {})
    else:
        reason = "no-destination"
    fallback = section(entries, RowKind.COMPANY)[number["company"]].get("default_flow")
    if fallback is None:
        return Answer(reason, "default", "", default, {})
    return Answer(reason, "default", fallback, place(flows[fallback]), parameters(flows[fallback], {}))
