"""The layout keeps its shape: who may import whom, and nothing in a circle."""

import ast
import pathlib
import subprocess
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
SANS_IO = {"router.agi.messages", "router.agi.session", "router.ami.dial_tracker", "router.ami.events"}
SANS_IO |= {"router.ami.framing", "router.ami.hearing"}

# Each part of the router -> what of the router it may know besides itself.
ROUTER_MAY_IMPORT = {
    "router.config": set[str](),
    "router.util": {"router.config.limits"},
    "router.observe": {"router.config"},
    "router.agi": {"router.config.limits", "router.observe", "router.util"},
    "router.ami": {"router.config.limits", "router.observe.metrics", "router.util"},
    "router.store": {"router.config", "router.observe.metrics", "router.util"},
    "router.callbacks": {"router.config.limits", "router.observe", "router.store.api", "router.util"},
    "router.management": {"router.config", "router.store.api", "router.util"},
    "router.doctor": {
        *("router.agi.client", "router.agi.messages", "router.ami", "router.config", "router.store.api"),
        *("router.store.factory", "router.util"),
    },
    "router.commands": {
        *("router.config", "router.management", "router.store.api", "router.store.factory", "router.agi.client"),
        *("router.doctor", "router.util"),
    },
}
DIALPLAN_GROUND = {"dialplan.wording", "dialplan.shards"}  # modules that every part of it may know
# Inside dialplan, from the ground up: each part may know those before it.
DIALPLAN_MAY_IMPORT = {
    "dialplan.numbering": set[str](),
    "dialplan.dataset": {"dialplan.numbering", "dialplan.kinds"},
    "dialplan.kinds": {"dialplan.numbering", "dialplan.dataset"},
    "dialplan.routing": {"dialplan.numbering", "dialplan.dataset", "dialplan.kinds", "dialplan.campaigns"},
    "dialplan.campaigns": {"dialplan.numbering", "dialplan.dataset", "dialplan.kinds", "dialplan.routing"},
}


def name_of(path: pathlib.Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path): path for path in MODULES}


def imports(path: pathlib.Path) -> set[str]:
    """Every module that a file imports, wherever in it the import stands; ours by the module, not the name in it."""
    tree = ast.parse((ROOT / path).read_text(), str(path))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in NAMES else str(node.module))
    return found


def under(module: str, roots: set[str]) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def calls(path: pathlib.Path) -> set[str]:
    """The plain names that a file calls."""
    tree = ast.parse((ROOT / path).read_text(), str(path))
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def importers_of(module: str) -> set[str]:
    return {name for name, path in NAMES.items() if any(under(each, {module}) for each in imports(path))}


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "dialplan"], ids=str)
def test_dialplan_is_pure(path: pathlib.Path) -> None:
    allowed = (set(sys.stdlib_module_names) - IMPURE) | PURE_LIBRARIES | {"dialplan"}
    assert {module for module in imports(path) if not under(module, allowed)} == set()
    assert calls(path) & {"open", "print", "input", "exec", "eval", "__import__"} == set()


@pytest.mark.parametrize("name", sorted(SANS_IO))
def test_a_protocol_does_no_io(name: str) -> None:
    path = NAMES[name]
    allowed = (set(sys.stdlib_module_names) - IMPURE) | {"msgspec", "dialplan", "router.config.limits"} | SANS_IO
    assert {module for module in imports(path) if not under(module, allowed)} == set()
    assert calls(path) & {"open", "print", "input"} == set()
    tree = ast.parse((ROOT / path).read_text())
    waits = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    assert not [node for node in ast.walk(tree) if isinstance(node, waits)]


@pytest.mark.parametrize("part", sorted(ROUTER_MAY_IMPORT))
def test_each_part_of_the_router_knows_only_what_is_below_it(part: str) -> None:
    for name, path in NAMES.items():
        if under(name, {part}):
            known = {module for module in imports(path) if under(module, {"router"})}
            assert {module for module in known if not under(module, {part} | ROUTER_MAY_IMPORT[part])} == set(), name


@pytest.mark.parametrize("part", sorted(DIALPLAN_MAY_IMPORT))
def test_each_part_of_the_dialplan_knows_only_what_is_below_it(part: str) -> None:
    for name, path in NAMES.items():
        if under(name, {part}):
            known = {module for module in imports(path) if under(module, {"dialplan"})}
            allowed = {part, *DIALPLAN_GROUND} | DIALPLAN_MAY_IMPORT[part]
            assert {module for module in known if not under(module, allowed)} == set(), name


def test_every_part_has_a_rule() -> None:
    parts = {".".join(name.split(".")[:2]) for name in NAMES if "." in name}
    ruled = set(ROUTER_MAY_IMPORT) | set(DIALPLAN_MAY_IMPORT)
    assert parts - ruled == {*DIALPLAN_GROUND, "router.__main__", "router.app", "router.cli"}


def test_nothing_imports_in_a_circle() -> None:
    edges = {name: {each for each in imports(path) if each in NAMES} - {name} for name, path in NAMES.items()}
    while leaves := {name for name, known in edges.items() if not known & set(edges)}:
        edges = {name: known for name, known in edges.items() if name not in leaves}
    assert edges == {}


def test_only_the_factory_knows_which_stores_there_are() -> None:
    for folder, outside in (("router.store.redis", set[str]()), ("router.store.local", {"router.store.factory"})):
        assert {name for name in importers_of(folder) if not under(name, {folder})} == outside
    assert {name for name in importers_of("router.config.settings") if under(name, {"router.store"})} == {
        *("router.store.factory", "router.store.redis.stores", "router.store.sqlite.stores")
    }


def test_nothing_but_the_entry_point_imports_app() -> None:
    assert importers_of("router.app") == {"router.cli"}


@pytest.mark.parametrize("name", sorted(name for name in NAMES if under(name, {"router.management"})))
def test_a_use_case_is_handed_all_it_uses_and_returns_what_it_found(name: str) -> None:
    """Whoever calls it has the event loop, the signals, the arguments and the streams."""
    tree = ast.parse((ROOT / NAMES[name]).read_text())
    assert not [each for each in imports(NAMES[name]) if under(each, {"argparse", "signal", "sys", "time"})]
    assert calls(NAMES[name]) & {"print", "input"} == set()
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used & {"asyncio.run", "asyncio.Runner", "asyncio.new_event_loop"} == set()
    names = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "asyncio"]
    assert not [alias.name for node in names for alias in node.names if alias.name in ("run", "Runner")]


def test_a_command_on_a_file_store_pays_for_no_client_of_another_one() -> None:
    code = (
        "import sys; from router import cli; from router.config.settings import StoreSettings; "
        "from router.store.factory import stores_of; stores_of(StoreSettings(url='sqlite:///tmp/none.db')); "
        "print(*sorted({'redis', 'panoramisk', 'uvloop'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert said.stdout.strip() == ""


def test_app_is_fetched_only_when_it_is_served() -> None:
    """Commands must not pay for the whole router: the import stands inside the one that serves."""
    tree = ast.parse((ROOT / "router/cli.py").read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom | ast.Import) for alias in node.names}
    assert "app" not in top


@pytest.mark.parametrize("name", sorted(name for name in NAMES if under(name, {"router.agi.verbs"})))
def test_a_verb_is_handed_its_table_its_claims_and_its_clock(name: str) -> None:
    far = {"time", "asyncio", "router.store", "router.observe", "router.callbacks"}
    assert not [module for module in imports(NAMES[name]) if under(module, far)]


def test_nothing_but_the_composition_root_knows_which_verbs_there_are() -> None:
    shared = {"router.agi.verbs.verb", "router.agi.verbs.dispatcher"}
    for name in {name for name in NAMES if under(name, {"router.agi.verbs"})} - shared - {"router.agi.verbs"}:
        assert importers_of(name) == {"router.app"}


def test_one_module_alone_knows_the_manager_library() -> None:
    assert importers_of("panoramisk") == {"router.ami.client"}


def test_one_module_alone_knows_the_client_of_redis() -> None:
    assert importers_of("redis") == {"router.store.redis.connection"}


def test_the_stores_alone_know_sqlite() -> None:
    outside = {name for name in importers_of("sqlite3") if not under(name, {"router.store.sqlite"})}
    assert outside == {"router.store.local.snapshot"}


@pytest.mark.parametrize("path", CODE, ids=str)
def test_a_module_says_what_it_is(path: pathlib.Path) -> None:
    assert ast.get_docstring(ast.parse((ROOT / path).read_text())), "it has no docstring"
