"""The data that the router is loaded with, in the formats that `ringway load` takes; written row by row.

Each number has a name; one in nine has two values of its own for its flow's parameters.
"""

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from bench.calls import (
    COMPANIES,
    DEFAULT_RING_SECONDS,
    FLOWS_PER_COMPANY,
    MAX_NUMBERS,
    company_of,
    e164,
    flow_of,
    has_parameters,
    line_type,
    own_values,
)

Format = Literal["csv", "json"]
# Numbers in one file, and in one `ringway load`, which holds all rows of its files in memory.
PART_NUMBERS = 1_000_000
CAMPAIGN = "bench-callbacks"  # whose missed attempts `bench.attempts` writes
_PARAMETERS = ("GREETING", "RING_SECONDS")
_LANDLINE_CITY = "London"


def parts(numbers: int) -> list[range]:
    """Return the indexes of `numbers` numbers, in as many parts as files are to be made of them."""
    if not 0 < numbers <= MAX_NUMBERS:
        raise ValueError(f"{numbers} numbers: give 1 to {MAX_NUMBERS}")
    return [range(first, min(first + PART_NUMBERS, numbers)) for first in range(0, numbers, PART_NUMBERS)]


def write_base(folder: Path) -> Path:
    """Write companies, call flows and the one campaign into `folder`; return the file."""
    file = folder / "bench.json"
    base = {"companies": _companies(), "call_flows": _call_flows(), "campaigns": _campaigns()}
    file.write_text(json.dumps(base), encoding="utf-8")
    return file


def write_numbers(folder: Path, indexes: range, form: Format) -> Path:
    """Write a row for each number of `indexes` into `folder`; return the file.

    A million rows take about 80 MB as CSV and 220 MB as JSON.
    """
    file = folder / f"bench-numbers.{form}"
    write = _write_csv if form == "csv" else _write_json
    write(file, indexes)
    return file


def _row(index: int) -> dict[str, Any]:
    kind = line_type(index)
    return {
        "number": e164(index),
        "company": f"company-{company_of(index)}",
        "kind": "reserved",
        "line_type": kind,
        "city": _LANDLINE_CITY if kind == "landline" else "",
        "name": f"Line {index}",
        "call_flow": f"flow-{flow_of(index)}",
    }


def _write_csv(path: Path, indexes: range) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*_row(0), *(f"parameters.{name}" for name in _PARAMETERS)])
        for index in indexes:
            own = own_values(index)
            rows.writerow([*_row(index).values(), *(own.get(name) for name in _PARAMETERS)])


def _write_json(path: Path, indexes: range) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write('{"numbers": [\n')
        for index, before in zip(indexes, _between(), strict=False):
            own = own_values(index)
            file.write(before + json.dumps(_row(index) | ({"parameters": own} if own else {})))
        file.write("\n]}\n")


def _between() -> Iterator[str]:
    return itertools.chain([""], itertools.repeat(",\n"))


def _companies() -> list[dict[str, Any]]:
    return [
        {
            "id": f"company-{company}",
            "name": f"Company {company}",
            "region": "GB",
            "timezone": "Europe/London",
            "identified": True,
        }
        for company in range(COMPANIES)
    ]


def _call_flows() -> list[dict[str, Any]]:
    """Return the flows of all companies: a third without parameters, the others with two and three."""
    flows = []
    for flow in range(COMPANIES * FLOWS_PER_COMPANY):
        parameters: list[dict[str, Any]] = []
        if has_parameters(flow):
            ring = {"name": "RING_SECONDS", "type": "integer", "default": DEFAULT_RING_SECONDS}
            parameters += [
                {"name": "GREETING", "type": "text", "default": "Hello, and welcome", "max_length": 80},
                ring | {"minimum": 5, "maximum": 120},
            ]
        if flow % 3 == 2:
            parameters.append({"name": "LANGUAGE", "type": "choice", "choices": ["en", "ru"], "default": "en"})
        flows.append(
            {
                "id": f"flow-{flow}",
                "name": f"Flow {flow}",
                "company": f"company-{flow // FLOWS_PER_COMPANY}",
                "destination": {"context": f"flow-{flow}", "exten": "s", "priority": flow % 3 + 1},
                "parameters": parameters,
            }
        )
    return flows


def _campaigns() -> Sequence[dict[str, Any]]:
    return [
        {
            "id": CAMPAIGN,
            "name": "Callbacks of the benchmark",
            "company": "company-0",
            "direction": "outbound",
            "destination": {"context": "campaign-bench"},
            "accept_incoming": True,
        }
    ]
