"""Whatever stands in the configuration and the environment, each command ends with a status and one line, and no trace.

Nothing is looked up in a network: only numeric addresses are known here. A router that would serve ends instead.
"""

import asyncio
import contextlib
import io
import ipaddress
import os
import pathlib
import socket
import tempfile
import types
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin
from unittest import mock

import hypothesis
import msgspec
import pytest
import tomli_w
from hypothesis import strategies as st

from router import app, cli
from router.agi.server import AgiServer
from router.commands import live, report_attempt
from router.config.settings import Ami, Settings
from router.store.api import StoreError
from router.store.redis import connection as redis_connection
from tests.processes import DEMO_DATA

_SERVES = "it would serve now"
# Texts that some part of the router has to make something of: a host, a path, an address, a name, a network.
_HOSTS = ("127.0.0.1", "a..b", "[::1]", "::1", "fe80::1", "/run/a.sock", "localhost:1", "x" * 64, "*", "é", "a%b", "[")
_PATHS = ("/", ".", "..", "~/a", "$HOME/a", "a\0b", "no/such/a", "/dev/null/a", "/dev/null", "a/", "x" * 300, "a b")
_OF_SQLITE = ("", "a.db", "//a", ":memory:", "a?mode=ro", "a\0b", "no/..", "x" * 300, "/dev/null")
_OF_REDIS = ("a..b", "", "[", "127.0.0.1:1", "127.0.0.1:99999", "h:1/a", "u:p@[::1]:1/99", "a\0b", "127.0.0.1:1,h:2")
_URLS = (
    *(f"sqlite:{rest}" for rest in _OF_SQLITE),
    *(f"redis://{rest}" for rest in _OF_REDIS),
    *("rediss://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/m/0", "redis+sentinel://a..b,x/m"),
    *("mysql://x", ":", "sqlite", "redis"),
)
_NETWORKS = ("127.0.0.0/8", "::/0", "127.0.0.1/8", "here", "1/1", "", "0.0.0.0/0/0")
_ODD = ("", " ", "\0", "\n", "é", "\u202e", "GB", "XX", "e164", "info", "json", "campaign", "-", "a" * 65)
_CURATED = {"host": _HOSTS, "url": _URLS, "allow": _NETWORKS}
_NUMBERS = (-1, 0, 1, 80, 1000, 60_001, 65_535, 65_536, 2**31, 2**63, 2**64, 10**30)

_texts = st.one_of(st.sampled_from(_ODD), st.text(st.characters(codec="utf-8"), max_size=12))
_anything = st.one_of(
    _texts, st.sampled_from(_NUMBERS), st.booleans(), st.floats(), st.lists(_texts, max_size=2), st.just({"a": 1})
)


def _values(key: str, kind: Any) -> st.SearchStrategy[Any]:
    """Values of the right kind, as far as there is one."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _tables(kind)
    if get_origin(kind) is tuple and get_args(kind)[0] is Ami:
        return st.lists(_tables(Ami), max_size=2)
    if get_origin(kind) is tuple:
        return st.lists(st.sampled_from(_NETWORKS), max_size=2)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.sampled_from(_NUMBERS)
    if key == "url":
        return st.sampled_from(_URLS)
    return st.one_of(st.sampled_from(_CURATED.get(key, _PATHS)), _texts)


def _tables(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables with some of the keys, each of the right kind as a rule."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    usual = {key: _values(key, of) for key, of in fields.items()}
    optional = {key: st.one_of(values, values, values, _anything) for key, values in usual.items()}
    return st.fixed_dictionaries({}, optional=optional)


_SECTIONS: dict[str, Any] = {field.encode_name: field.type for field in msgspec.structs.fields(Settings)}
# Where nothing is drawn all of it is in the folder of the example.
_BELOW: dict[str, dict[str, Any]] = {
    "agi": {"port": 1},  # nothing listens there
    "metrics": {"port": 0},
    "store": {"url": "sqlite:here.db", "snapshot": "kept.db"},
}


@st.composite
def _changes(draw: st.DrawFn) -> list[tuple[str, str, Any]]:
    """Some sections, keys and values, few at a time: the first wrong one is as far as a command comes."""
    changes = []
    for _ in range(draw(st.integers(0, 3))):
        section = draw(st.sampled_from(sorted(set(_SECTIONS) - {"ami"})))
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(_SECTIONS[section])}
        key = draw(st.sampled_from(sorted(fields)))
        usual = _values(key, fields[key])
        changes.append((section, key, draw(st.one_of(usual, usual, usual, _anything))))
    return changes


def _shown(value: Any) -> str:
    """A value as a variable has it; the environment has no NUL."""
    if isinstance(value, dict | list):
        return tomli_w.dumps({"value": value}).partition("=")[2].strip()
    return str(value).replace("\0", "\udcff")


_asterisks = st.one_of(st.just([]), st.just([]), st.lists(_tables(Ami), max_size=2))
_systemd = st.fixed_dictionaries(
    {},
    optional={
        "LISTEN_FDS": st.sampled_from(["abc", "", "-1", "0", "٣", "9" * 5_000]),
        "WATCHDOG_USEC": st.sampled_from(["abc", "", "-1", "0", "٣", "9" * 5_000, "1000"]),
        "WATCHDOG_PID": st.sampled_from(["abc", "", str(os.getpid())]),
        "NOTIFY_SOCKET": st.sampled_from(["", "@", "/no/such", "@a", "\udcff", "x" * 300]),
        "RINGWAY_PORT": st.just("tcp://10.0.0.1:4573"),
    },
)
_COMMANDS = (
    ("serve",),
    ("load", str(DEMO_DATA)),
    ("dump",),
    ("route", "02079460000"),
    ("attempts",),
    ("call", "02079460000"),
    ("report-attempt", "win-back", "07700900456", "02079460002"),
    ("status",),
    ("doctor",),
)


def _known(host: Any, *arguments: Any, **named: Any) -> Any:
    """What getaddrinfo gives for an address of loopback; it refuses all others as it does without a network."""
    if isinstance(host, str):
        host.encode("idna")  # the real one does so first, and raises for what no name can be
    found = _REAL(host, *arguments, **(named | {"flags": socket.AI_NUMERICHOST}))
    if not all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_loopback for each in found):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return found


_REAL = socket.getaddrinfo


async def _no_start(*_: Any) -> None:
    raise StoreError(_SERVES)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Nobody waits for an answer, and nothing is served."""
    patch = mock.patch.object
    with (
        patch(socket, "getaddrinfo", _known),
        patch(app, "uvloop", types.SimpleNamespace(run=asyncio.run)),
        patch(AgiServer, "start", _no_start),
        patch(live, "STATUS_TIMEOUT_SECONDS", 0.2),
        patch(report_attempt, "STATUS_TIMEOUT_SECONDS", 0.2),
        patch(redis_connection, "REDIS_CONNECT_SECONDS", 0.1),
        patch(redis_connection, "REDIS_COMMAND_SECONDS", 0.5),
    ):
        yield


def _run(words: tuple[str, ...], config: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[int, str]:
    """The status of a command, and what it said on standard error, in a folder of its own."""
    usual = {name: text for name, text in os.environ.items() if not name.startswith(("RINGWAY_", "PYTEST_"))}
    here, err = pathlib.Path.cwd(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "site.toml").write_text(tomli_w.dumps(config))
        os.chdir(folder)
        try:
            with mock.patch.dict(os.environ, {**usual, **environment}, clear=True), contextlib.redirect_stderr(err):
                return cli.main([*words, "-c", "site.toml"]), err.getvalue()
        finally:
            os.chdir(here)


@hypothesis.settings(max_examples=150, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(st.sampled_from(_COMMANDS), _changes(), _changes(), _asterisks, _systemd)
def test_a_command_ends_with_a_status_and_one_line_whatever_it_is_given(
    words: tuple[str, ...],
    in_file: list[tuple[str, str, Any]],
    in_environment: list[tuple[str, str, Any]],
    asterisks: list[dict[str, Any]],
    systemd: dict[str, str],
) -> None:
    config: dict[str, Any] = {section: dict(values) for section, values in _BELOW.items()} | {"ami": asterisks}
    for section, key, value in in_file:
        config.setdefault(section, {})[key] = value
    variables = {f"RINGWAY_{section}__{key}".upper(): _shown(value) for section, key, value in in_environment}
    status, said = _run(words, config, variables | systemd | {"LISTEN_PID": str(os.getpid())})
    assert (status, "Traceback" in said) in ((0, False), (1, False))
    if status:
        last = said.splitlines()[-1]
        assert last.startswith("ringway: ")
        assert said.count("ringway: ") >= 1
        assert words[0] == "load" or said.count("\n") == 1, said
    elif words[0] == "serve":
        pytest.fail("it serves")


@pytest.mark.parametrize("words", _COMMANDS, ids=lambda words: str(words[0]))
def test_each_command_comes_to_its_work_where_nothing_is_wrong(words: tuple[str, ...]) -> None:
    """Else the property above would hold for a command that does nothing."""
    status, said = _run(words, _BELOW, {})
    expected = {"serve": _SERVES, "load": "", "status": "[metrics] port is 0", "call": "gave no answer"}
    assert expected.get(words[0], "") in said
    assert status == (words[0] != "load")
