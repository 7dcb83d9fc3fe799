from dialplan.routing.steps.assignment import in_force
from dialplan.routing.target import ToFlow


def test_the_newest_update_that_is_due_is_in_force() -> None:
    first, second = ToFlow("a"), ToFlow("b")
    updates = ((10.0, None), (20.0, second))
    assert [in_force(first, updates, now) for now in (9.0, 10.0, 20.0)] == [
        ("assigned", first),
        ("scheduled", None),
        ("scheduled", second),
    ]
