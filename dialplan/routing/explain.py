"""A decision step by step: what was looked at, each candidate that was rejected, and why."""

import msgspec

from dialplan.wording import Message


class ExplainedStep(msgspec.Struct, frozen=True):
    """One step, what it came to, and why: as a sentence, and as a code with its arguments."""

    step: str
    outcome: str
    detail: str
    code: str
    arguments: dict[str, object]


class Explanation:
    """Collects the steps of one decision: a trace."""

    def __init__(self) -> None:
        self.steps: list[ExplainedStep] = []

    def step(self, name: str, outcome: str, details: Message) -> None:
        """Take one step down."""
        self.steps.append(ExplainedStep(name, str(outcome), details.text, details.code.slug, details.plain()))
