"""The steps of a decision, in their order. A new way of routing is one new module here, and its place in this list."""

from dialplan.routing.steps.assignment import AssignmentStep
from dialplan.routing.steps.callback import CallbackStep
from dialplan.routing.steps.fallback import FallbackStep
from dialplan.routing.steps.lookup import LookupStep
from dialplan.routing.steps.status import StatusStep
from dialplan.routing.steps.step import Step

STEPS: tuple[Step, ...] = (LookupStep(), StatusStep(), AssignmentStep(), CallbackStep(), FallbackStep())

# Those that make something of a number's row: at load the others cost nothing.
COMPILING: tuple[Step, ...] = tuple(step for step in STEPS if type(step).compile is not Step.compile)

# Of a call whose data cannot be trusted: no step has seen it.
ERROR = "error"
REASONS: tuple[str, ...] = (*(reason for step in STEPS for reason in step.reasons), ERROR)
