"""The data that the router is loaded with for the benchmark, in the formats that `ringway load` takes."""

import csv
import json
from pathlib import Path
from typing import Any

from bench.calls import (
    COMPANIES,
    FLOWS_PER_COMPANY,
    MAX_NUMBERS,
    company_of,
    e164,
    flow_of,
    line_type,
    ring_seconds_of,
)

_CITIES = {"203": "London", "207": "London", "208": "London", "740": ""}


def write(folder: Path, numbers: int) -> list[Path]:
    """Write companies and call flows as JSON and `numbers` numbers as CSV into `folder`; return both files.

    A million numbers take about 70 MB.
    """
    if not 0 < numbers <= MAX_NUMBERS:
        raise ValueError(f"{numbers} numbers: give 1 to {MAX_NUMBERS}")
    base, table = folder / "bench.json", folder / "bench-numbers.csv"
    base.write_text(json.dumps({"companies": _companies(), "call_flows": _call_flows()}), encoding="utf-8")
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["number", "company", "kind", "line_type", "city", "name", "call_flow", "parameters.RING_SECONDS"]
        )
        for index in range(numbers):
            number = e164(index)
            rows.writerow(
                [
                    number,
                    f"company-{company_of(index)}",
                    "reserved",
                    line_type(index),
                    _CITIES[number[3:6]],
                    f"Line {index}",
                    f"flow-{flow_of(index)}",
                    ring_seconds_of(index),
                ]
            )
    return [base, table]


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
        if flow % 3:
            parameters += [
                {"name": "GREETING", "type": "text", "default": "Hello, and welcome", "max_length": 80},
                {"name": "RING_SECONDS", "type": "integer", "default": 20, "minimum": 5, "maximum": 120},
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
