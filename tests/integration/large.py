"""Large data sets, each a file of its own: so many numbers, all of them assigned to one flow."""

import json
import pathlib

FLOWS = 12


def number(place: int) -> str:
    """The number at a place: a London one."""
    return f"+4420{70_000_000 + place}"


def write(path: pathlib.Path, count: int, flow: int) -> pathlib.Path:
    """A company, FLOWS flows, and `count` numbers that all have flow `f<flow>`, whose context is `flow-<flow>`."""
    company = {"id": "acme", "name": "Acme", "region": "GB"}
    flows = [
        {"id": f"f{each}", "name": f"f{each}", "destination": {"context": f"flow-{each}"}} for each in range(FLOWS)
    ]
    numbers = [{"number": number(place), "company": "acme", "call_flow": f"f{flow}"} for place in range(count)]
    path.write_text(json.dumps({"companies": [company], "call_flows": flows, "numbers": numbers}))
    return path
