"""The house keeps its shape: who may import whom, and that every module has tests of its own."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODULES = sorted(path.relative_to(ROOT) for top in ("dialplan", "router") for path in (ROOT / top).rglob("*.py"))
CODE = [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")]

# What a pure module keeps away from: the clock, the machine, other processes, threads, and waiting.
# zoneinfo is the one exception of dialplan's: the rules of time zones are data, however Python fetches them.
IMPURE = {
    *("asyncio", "concurrent", "contextvars", "ctypes", "fcntl", "ftplib", "getpass", "glob", "http", "importlib"),
    *("io", "logging", "mmap", "multiprocessing", "os", "pathlib", "pickle", "platform", "random", "sched", "secrets"),
    *("select", "selectors", "shelve", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess"),
    *("sys", "tempfile", "threading", "time", "urllib", "uuid", "xmlrpc", "queue", "resource", "pwd", "grp"),
}
PURE_LIBRARIES = {"msgspec", "phonenumbers", "regex"}
SQLITE = ("snapshot", "sqlite", "sqlite_callbacks", "sqlite_connection")
SANS_IO = [pathlib.Path("router/agi/messages.py"), pathlib.Path("router/agi/session.py")]
SANS_IO += [
    pathlib.Path("router/ami/attempts.py"),
    pathlib.Path("router/ami/wire.py"),
    pathlib.Path("router/ami/events.py"),
]
SANS_IO_MAY_USE = {"dialplan", "router.limits", "router.agi.messages", "router.ami.attempts", "router.ami.events"}


def name_of(path: pathlib.Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(path: pathlib.Path) -> set[str]:
    """Every module that a file imports, wherever in it the import stands."""
    tree = ast.parse((ROOT / path).read_text(), str(path))
    package = path.parent.parts
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def under(module: str, roots: set[str]) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def calls(path: pathlib.Path) -> set[str]:
    """The plain names that a file calls."""
    tree = ast.parse((ROOT / path).read_text(), str(path))
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


@pytest.mark.parametrize("path", CODE, ids=str)
def test_every_module_has_a_test_module_of_its_own(path: pathlib.Path) -> None:
    expected = pathlib.Path("tests/unit") / path.parent / f"test_{path.name}"
    assert (ROOT / expected).is_file(), f"{expected} is missing"


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "dialplan"], ids=str)
def test_dialplan_is_pure(path: pathlib.Path) -> None:
    allowed = (set(sys.stdlib_module_names) - IMPURE) | PURE_LIBRARIES | {"dialplan"}
    assert {module for module in imports(path) if not under(module, allowed)} == set()
    assert calls(path) & {"open", "print", "input", "exec", "eval", "__import__"} == set()


@pytest.mark.parametrize("path", SANS_IO, ids=str)
def test_a_protocol_does_no_io(path: pathlib.Path) -> None:
    allowed = (set(sys.stdlib_module_names) - IMPURE) | {"msgspec"} | SANS_IO_MAY_USE
    assert {module for module in imports(path) if not under(module, allowed) and module != "router.agi"} == set()
    assert calls(path) & {"open", "print", "input"} == set()
    tree = ast.parse((ROOT / path).read_text())
    waits = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    assert not [node for node in ast.walk(tree) if isinstance(node, waits)]


def test_nothing_but_the_entry_point_imports_app() -> None:
    importers = {str(path) for path in MODULES if any(under(module, {"router.app"}) for module in imports(path))}
    assert importers == {"router/cli.py"}


def test_app_is_fetched_only_when_it_is_served() -> None:
    """Commands must not pay for the whole house: the import stands inside the one that serves."""
    tree = ast.parse((ROOT / "router/cli.py").read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names}
    assert "app" not in top


@pytest.mark.parametrize(
    ("part", "may_import"),
    [
        ("router/agi", {"router.agi", "router.limits", "router.observe", "router.reports"}),
        (
            "router/ami",
            {"router.ami", "router.limits", "router.observe.metrics", "router.reports", "router.secret_files"},
        ),
        ("router/reports.py", {"router.limits"}),
        ("router/callbacks.py", {"router.limits", "router.missed", "router.observe", "router.store.base"}),
        ("router/missed.py", {"router.limits"}),
        ("router/stores.py", {"router.settings", "router.store"}),
        ("router/store", {"router.store", "router.limits", "router.observe.metrics", "router.secret_files"}),
        ("router/secret_files.py", set[str]()),
        ("router/observe", {"router.observe", "router.limits"}),
        ("router/commands", {"router.commands", "router.settings", "router.files", "router.limits"}),
        ("router/limits.py", set[str]()),
        ("router/systemd.py", set[str]()),
        ("router/files.py", {"router.limits"}),
        ("router/settings.py", {"router.limits", "router.observe.log"}),
    ],
)
def test_only_app_knows_everything(part: str, may_import: set[str]) -> None:
    """Each part of the router knows itself and what is listed here; commands ask a store or a router by its client."""
    if part == "router/commands":
        may_import = may_import | {
            "router.store.base",
            "router.stores",
            "router.agi.client",
        }
    for path in MODULES:
        if path.is_relative_to(part):
            known = {module for module in imports(path) if under(module, {"router"})}
            packages = {"router", "router.agi", "router.store"}  # `from router import files` names the package too
            assert {module for module in known - packages if not under(module, may_import)} == set(), path


def test_the_handler_is_handed_its_table_and_its_clock() -> None:
    known = imports(pathlib.Path("router/agi/handler.py"))
    assert not [module for module in known if under(module, {"time", "asyncio", "router.store", "router.observe"})]


def test_one_module_alone_knows_the_manager_library() -> None:
    importers = {str(path) for path in MODULES if any(under(module, {"panoramisk"}) for module in imports(path))}
    assert importers <= {"router/ami/client.py"}


def test_the_stores_alone_know_sqlite() -> None:
    importers = {str(path) for path in MODULES if any(under(module, {"sqlite3"}) for module in imports(path))}
    assert importers == {f"router/store/{name}.py" for name in SQLITE}


def test_one_module_alone_knows_the_client_of_redis() -> None:
    importers = {str(path) for path in MODULES if any(under(module, {"redis"}) for module in imports(path))}
    assert importers == {"router/store/redis_connection.py"}


@pytest.mark.parametrize("path", CODE, ids=str)
def test_a_module_says_what_it_is_and_stays_readable(path: pathlib.Path) -> None:
    text = (ROOT / path).read_text()
    assert ast.get_docstring(ast.parse(text)), "it has no docstring"
    assert text.count("\n") <= 400, "it is too long to be read in one go"
