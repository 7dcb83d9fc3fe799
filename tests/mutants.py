"""Changes a module in one place at a time and looks whether a test fails; docs/testing.md has what came of it.

python tests/mutants.py MODULE.py TEST...

Each mutant is a fork that imports the changed source and stops at the first test that fails. What only people or the
type checker read is left as it is: see `is_told`.
"""

import ast
import contextlib
import importlib.machinery
import os
import pathlib
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

TURNED: dict[type[ast.AST], type[ast.AST]] = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.Eq: ast.NotEq, ast.Is: ast.IsNot}
TURNED |= {ast.In: ast.NotIn, ast.Add: ast.Sub, ast.Mult: ast.FloorDiv, ast.BitOr: ast.BitAnd, ast.And: ast.Or}
TURNED |= {new: old for old, new in TURNED.items()} | {ast.Div: ast.Mult, ast.Mod: ast.Add}
SAID = re.compile(r"((self\.)?_?(log|say)(\.\w+)?|Code|\w+Error)$")  # what such a call is given are words
LIMIT_SECONDS = 20  # for a mutant, beyond three times what the tests take without one


class Mutant(NamedTuple):
    """In a field of a node, at a place of it where it is a list, something new."""

    node: ast.AST
    field: str
    place: int | None
    new: ast.AST
    line: int

    def put(self, new: ast.AST) -> ast.AST:
        """Put it there; returns what stood there."""
        field = getattr(self.node, self.field)
        before: ast.AST = field if self.place is None else field[self.place]
        if self.place is None:
            setattr(self.node, self.field, new)
        else:
            field[self.place] = new
        return before


def instead_of(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901, PLR0912 - one table
    """What may stand in the place of a node."""
    match node:
        case ast.cmpop() | ast.operator() | ast.boolop() if type(node) in TURNED:
            yield TURNED[type(node)]()
        case ast.BoolOp(op=op, values=[first, *more]):
            yield from (first, more[0] if len(more) == 1 else ast.BoolOp(op, more))
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(number) | float(number)):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str(text)):
            yield ast.Constant(f"{text}!")
        case ast.If(body=body, orelse=orelse):
            yield from (ast.If(ast.Constant(always), body, orelse) for always in (True, False))
        case ast.IfExp(body=one, orelse=other):
            yield from (one, other)
        case ast.comprehension(ifs=[_, *_]):
            yield ast.comprehension(node.target, node.iter, [], node.is_async)
        case ast.Return(value=ast.expr()):
            yield ast.Return(None)
        case ast.Expr(value=ast.Call(func=called) | ast.Await(value=ast.Call(func=called))):
            if not SAID.match(ast.unparse(called)):
                yield ast.Pass()
        case ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.With() | ast.AsyncWith() if not any(each.optional_vars for each in node.items):
            yield ast.If(ast.Constant(True), node.body, [])
        case ast.Slice(lower=lower, upper=upper):
            yield from (ast.Slice(None, upper), ast.Slice(lower, None))


def is_told(node: ast.AST, field: str) -> bool:
    """Whether a field of a node is for people or the type checker, or spares memory."""
    match node:
        case ast.Call(func=called):
            return field != "func" and bool(SAID.match(ast.unparse(called)))
        case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__slots__")]):
            return True
        case ast.keyword(arg="frozen" | "gc" | "hint"):
            return True
    return field in ("annotation", "returns", "decorator_list")


def mutants(node: ast.AST, line: int = 0) -> Iterator[Mutant]:
    """All of a tree."""
    for field, value in ast.iter_fields(node):
        for place, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not is_told(node, field):
                at = getattr(child, "lineno", line)
                for new in instead_of(child):
                    yield Mutant(node, field, place if isinstance(value, list) else None, new, at)
                yield from mutants(child, at)


def fate(path: pathlib.Path, source: str, tests: list[str], seconds: int) -> str:
    """What the tests make of that source of a module: killed, timeout or alive."""
    child = os.fork()
    if not child:
        os.setsid()  # with the servers that tests start
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        loader: Any = importlib.machinery.SourceFileLoader
        real = loader.get_code
        loader.get_code = lambda it, name: compile(source, path, "exec") if it.path == str(path) else real(it, name)
        signal.alarm(seconds)
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no", "-o", "timeout=0"]
        os._exit(pytest.main([*options, *tests]))
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if os.WIFSIGNALED(status):
        return "timeout"
    return "killed" if status else "alive"


def main(module: str, *tests: str) -> None:
    path = pathlib.Path(module).resolve()
    tree = ast.parse(path.read_text())
    began = time.monotonic()
    if fate(path, ast.unparse(tree), [*tests], 3600) != "alive":
        sys.exit("the tests fail without a mutant")
    limit = LIMIT_SECONDS + 3 * int(time.monotonic() - began)
    tally: Counter[str] = Counter()
    for mutant in list(mutants(tree)):
        before = mutant.put(mutant.new)
        became = fate(path, ast.unparse(ast.fix_missing_locations(tree)), [*tests], limit)
        mutant.put(before)
        tally[became] += 1
        if became == "alive":
            old, new = (ast.unparse(each)[:100] or type(each).__name__ for each in (before, mutant.new))
            sys.stdout.write(f"{module}:{mutant.line}: {new!r} in the place of {old!r}\n")
    sys.stdout.write(f"{module}: {dict(tally)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
