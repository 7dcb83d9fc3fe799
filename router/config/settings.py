"""The configuration: one TOML file, and RINGWAY_ environment variables over it. Every error names its key."""

import ipaddress
import os
import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_origin

import msgspec

from dialplan.dataset.convert import value_faults
from dialplan.kinds.fields import Destination, check_destination, is_id
from dialplan.numbering.numbers import Bare, is_region
from dialplan.wording import printable, quote
from router.config.limits import CONFIGURATION_MAX_BYTES, CONFIGURATION_SECONDS, DEADLINE_MAX_MS
from router.config.paths import path_fault
from router.config.pipes import text_of

Format: TypeAlias = Literal["json", "console"]
Level: TypeAlias = Literal["debug", "info", "warning", "error"]

PREFIX = "RINGWAY_"
# Settings have two underscores between section and key. Other names are not ours: a container platform that has a
# service `ringway` sets RINGWAY_PORT and RINGWAY_SERVICE_HOST, and a site's Asterisk has a global RINGWAY_AGI.
LIST_VARIABLE = f"{PREFIX}AMI"  # the one list of tables, which has no keys of its own
PORT_MAX = 65_535
HOURS_MAX = 24 * 366
_KEYS = re.compile(r'"(?:[^"\\]|\\.)*"|[^.]+')  # of the path to a value, where a strange one is in quotes
_SCHEMES = ("sqlite", "redis", "rediss", "redis+sentinel", "rediss+sentinel")
_STORE_FILES = (
    *("password_file", "sentinel_password_file", "tls_ca_file", "tls_cert_file", "tls_key_file"),
    "snapshot",
)
_PATH_HINT = "write the file's whole path"


class SettingsError(Exception):
    """The configuration cannot be used; the text names the key, the file and the hint."""


class Agi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[agi]: where Asterisk connects."""

    host: str = "127.0.0.1"
    port: int = 4573
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    deadline_ms: int = 1000


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[store]: where the data set lives."""

    url: str = "sqlite:///var/lib/ringway/ringway.db"
    # Of a Redis:
    username: str = ""
    password_file: str = ""
    sentinel_username: str = ""
    sentinel_password_file: str = ""
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    cluster: bool = False
    prefix: str = "ringway"
    snapshot: str = "/var/lib/ringway/snapshot.db"
    snapshot_max_age_hours: int = 72


class Numbering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[numbering]: how numbers are read where the trunk says nothing else."""

    region: str = "GB"
    bare: Bare = Bare.E164


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[defaults]: where a call goes that nothing else takes."""

    destination: Destination = Destination("ringway-default")


class CallbackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[callbacks]: what a callback gets while the store cannot say."""

    store_down: Literal["own-flow", "campaign"] = "own-flow"


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[metrics] and [admin]: an HTTP port, 0 for none."""

    host: str = "127.0.0.1"
    port: int = 0


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[log]: what is written to standard output."""

    format: Format = "json"
    level: Level = "info"
    mask_callers: bool = False


class Ami(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[[ami]]: an Asterisk whose dialling is watched."""

    name: str
    host: str = "127.0.0.1"
    port: int = 5038
    username: str = "ringway"
    secret_file: str = "/etc/ringway/ami.secret"  # noqa: S105 - a path
    tls: bool = False
    tls_ca_file: str = ""  # the authorities of this machine


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration."""

    agi: Agi = Agi()
    store: StoreSettings = StoreSettings()
    numbering: Numbering = Numbering()
    defaults: Defaults = Defaults()
    callbacks: CallbackSettings = CallbackSettings()
    metrics: Endpoint = Endpoint(port=9173)
    admin: Endpoint = Endpoint(port=8173)
    log: Log = Log()
    ami: tuple[Ami, ...] = ()


def load(path: pathlib.Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the configuration: the file (None: the defaults alone), then `RINGWAY_<SECTION>__<KEY>` over it.

    Raises SettingsError.
    """
    values: dict[str, Any] = {}
    source = "the defaults"
    if path is not None:
        source = str(path)
        try:
            values = tomllib.loads(_text_of(path))
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}; name the configuration with -c FILE") from error
        except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of an integer of thousands of digits
            raise SettingsError(f"{path}: {error}; correct the TOML") from error
    overlaid = _overlay(values, environment)
    try:
        settings = msgspec.convert(overlaid, Settings)
    except msgspec.ValidationError:
        raise SettingsError(_say(overlaid, source, environment)) from None
    for keys, text in _faults(settings):
        raise SettingsError(f"{_source(keys, source, environment)}: {_dotted(keys)}: {text}")
    return settings


def _text_of(path: pathlib.Path) -> str:
    """The file's text. Raises OSError, and SettingsError where it is none of a configuration."""
    try:
        return text_of(path, CONFIGURATION_MAX_BYTES, CONFIGURATION_SECONDS)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise SettingsError(f"{path}: {error}; name the configuration with -c FILE") from error


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The file's values with the environment's over them. Raises SettingsError."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    for name, text in sorted(environment.items()):
        if not _is_setting(name):
            continue
        keys = name.removeprefix(PREFIX).lower().split("__")
        target: Any = result
        wanted: Any = Settings
        for key in keys:
            fields = {field.name: field.type for field in msgspec.structs.fields(wanted)} if _is_struct(wanted) else {}
            if key not in fields:
                raise SettingsError(f"{name}: there is no such setting as {_dotted(keys)}; see config/ringway.toml")
            wanted = fields[key]
        for key in keys[:-1]:
            below = target.get(key)
            target[key] = target = dict(below) if isinstance(below, dict) else {}
        try:
            target[keys[-1]] = _read(text, wanted)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as error:
            faults = value_faults("", text, wanted) if isinstance(error, msgspec.ValidationError) else ()
            why = next((fault.hint for _, fault in faults), error)
            raise SettingsError(f"{name}: {quote(text)} does not fit {_dotted(keys)}: {why}") from None
    return result


def _is_setting(name: str) -> bool:
    return name == LIST_VARIABLE or (name.startswith(PREFIX) and "__" in name.removeprefix(PREFIX))


def _is_struct(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)


def _read(text: str, wanted: Any) -> Any:
    """A variable's text as its setting wants it: tables and lists as TOML values, or lists as words with commas."""
    if get_origin(wanted) is tuple and not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    if get_origin(wanted) is tuple or _is_struct(wanted):
        return tomllib.loads(f"value = {text}")["value"]
    return msgspec.to_builtins(msgspec.convert(text, wanted, strict=False))


def _dotted(keys: Sequence[str]) -> str:
    return f"[{'.'.join(keys[:-1])}] {keys[-1]}" if len(keys) > 1 else f"[{keys[0]}]"


def _say(values: Mapping[str, Any], source: str, environment: Mapping[str, str]) -> str:
    """The first value that is none of its setting's: the key as the file has it, and where it may have come from."""
    path, fault = next(value_faults("", values, Settings))
    keys = [key.partition("[")[0] for key in _KEYS.findall(path)]
    text = fault.text
    if fault.code.slug in ("unknown-field", "misspelt-field"):
        text = "there is no such setting"
    where = _dotted(keys) if keys else "the configuration"
    return f"{_source(keys, source, environment)}: {where}: {text}; {fault.hint}; see config/ringway.toml"


def _source(keys: Sequence[str], source: str, environment: Mapping[str, str]) -> str:
    """Where a key's value comes from: the variable that sets it, or the table around it, else the file."""
    variables = [PREFIX + "__".join(keys[:count]).upper() for count in range(len(keys), 0, -1)]
    return next((each for each in variables if _is_setting(each) and each in environment), source)


def _faults(settings: Settings) -> Iterator[tuple[list[str], str]]:
    """What types cannot say: the keys, what is wrong with their value, and the hint."""
    yield from _text_faults([], msgspec.to_builtins(settings))
    if not 1 <= settings.agi.port <= PORT_MAX:
        yield ["agi", "port"], f"{quote(settings.agi.port)} is no port; use 1 to {PORT_MAX}"
    for section, port in {"metrics": settings.metrics.port, "admin": settings.admin.port}.items():
        if not 0 <= port <= PORT_MAX:
            yield [section, "port"], f"{quote(port)} is no port; use 1 to {PORT_MAX}, or 0 for none"
    yield from _ami_faults(settings.ami)
    if not settings.agi.allow:
        yield ["agi", "allow"], "nobody may ask; name the networks of your Asterisks, such as 127.0.0.0/8"
    for network in settings.agi.allow:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield ["agi", "allow"], f"{printable(str(error))}; write it like 192.0.2.0/24"
    if not 1 <= settings.agi.deadline_ms <= DEADLINE_MAX_MS:
        yield ["agi", "deadline_ms"], f"{quote(settings.agi.deadline_ms)} is out of bounds; use 1 to {DEADLINE_MAX_MS}"
    if not is_region(settings.numbering.region):
        text = f"{quote(settings.numbering.region)} is not a country; use its ISO 3166 code, such as GB"
        yield ["numbering", "region"], text
    for field, fault in check_destination(settings.defaults.destination):
        yield ["defaults", *field.split(".")], f"{fault.text}; {fault.hint}"
    yield from _store_faults(settings.store)


def _text_faults(keys: list[str], value: object) -> Iterator[tuple[list[str], str]]:
    """Texts that nothing can be named by: with a NUL, or with bytes of the environment that are no UTF-8."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _text_faults([*keys, key], below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _text_faults(keys, below)
    elif isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
        yield keys, f"{quote(value)} is no text: it has a NUL, or bytes that are not UTF-8; leave them out"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _store_faults(store: StoreSettings) -> Iterator[tuple[list[str], str]]:
    scheme = store.url.partition(":")[0]
    if scheme not in _SCHEMES:
        known = "sqlite:///path, redis://HOST:6379/0, rediss://… or redis+sentinel://…"
        yield ["store", "url"], f"{quote(scheme)} is not a store of this version; use {known}"
    for key in _STORE_FILES:
        path = getattr(store, key)
        if path and (fault := path_fault(path)):
            yield ["store", key], f"{quote(path)} {fault}; {_PATH_HINT}"
    if not is_id(store.prefix):
        yield ["store", "prefix"], f"{quote(store.prefix)} is no name; use a-z, 0-9 and -, 64 at most"
    if not 0 <= store.snapshot_max_age_hours <= HOURS_MAX:
        text = f"{quote(store.snapshot_max_age_hours)} is out of bounds; use 0 (however old) to {HOURS_MAX}"
        yield ["store", "snapshot_max_age_hours"], text
    if store.cluster and "sentinel" in scheme:
        yield ["store", "cluster"], "a Cluster has no sentinels; name one of its nodes, redis://HOST:6379"
    for key in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        if getattr(store, key) and scheme in ("redis", "redis+sentinel"):  # it would be in clear text, unnoticed
            yield ["store", key], f'url begins with "{scheme}:", which is no TLS; write "{scheme[:5]}s{scheme[5:]}:"'
    if store.tls_key_file and not store.tls_cert_file:
        yield ["store", "tls_key_file"], "there is no tls_cert_file that it is for; add that, or leave this out"
    for key in ("sentinel_username", "sentinel_password_file"):
        if getattr(store, key) and scheme in ("redis", "rediss"):
            yield ["store", key], "url names no sentinels; write redis+sentinel://HOST:26379/NAME/0, or leave this out"


def _ami_faults(asterisks: Sequence[Ami]) -> Iterator[tuple[list[str], str]]:
    names: set[str] = set()
    places: dict[tuple[str, int], str] = {}
    for each in asterisks:
        for key in ("name", "host", "username", "secret_file"):
            if not getattr(each, key).strip():
                yield ["ami", key], f"{quote(each.name)} has none; give it one, or leave the key out"
        for key in ("secret_file", "tls_ca_file"):
            path = getattr(each, key)
            if path.strip() and (fault := path_fault(path)):
                yield ["ami", key], f"{quote(path)} of {quote(each.name)} {fault}; {_PATH_HINT}"
        if not 1 <= each.port <= PORT_MAX:
            yield ["ami", "port"], f"{quote(each.port)} of {quote(each.name)} is no port; use 1 to {PORT_MAX}"
        if each.tls_ca_file and not each.tls:
            yield ["ami", "tls_ca_file"], f"{quote(each.name)} has no tls = true; add that, or leave this out"
        if each.name in names:
            yield ["ami", "name"], f"{quote(each.name)} stands twice; give each a name of its own"
        place = each.host, each.port
        if place in places:
            other = quote(places[place])
            yield ["ami", "host"], f"{quote(each.name)} and {other} are the same host and port; leave one out"
        names.add(each.name)
        places[place] = each.name


def from_process(path: str | None) -> Settings:
    """The configuration of this process: `-c FILE`, else the defaults, and its environment. Raises SettingsError."""
    return load(pathlib.Path(path) if path is not None else None, os.environ)
