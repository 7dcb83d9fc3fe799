"""A log that a test looks into."""

from typing import Any


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **details: Any) -> None:
        self.events.append((event, details))

    warning = error = info

    def names(self) -> list[str]:
        return [event for event, _ in self.events]

    def of(self, name: str) -> list[dict[str, Any]]:
        return [details for event, details in self.events if event == name]
