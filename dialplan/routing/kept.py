"""What was seen lately, so that equal things can be one object."""

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """Values by their keys, at most twice `limit`.

    There are two generations: when the young one is full it becomes the old one, and what nobody has asked for since
    goes with the one before.
    """

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        """How many values it holds, those that are in both generations twice."""
        return len(self._young) + len(self._old)

    def get(self, key: Key) -> Value | None:
        """What is kept under a key."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Key, value: Value) -> Value:
        """Keep a value; returns it."""
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, {}
        self._young[key] = value
        return value
