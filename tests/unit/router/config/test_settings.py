import pathlib
import re
import tomllib
from typing import Any

import msgspec
import pytest

from dialplan.kinds.fields import Destination
from dialplan.numbering.numbers import Bare
from router.config.settings import Ami, Settings, SettingsError, from_process, load

DEFAULT_FILE = pathlib.Path(__file__).resolve().parents[4] / "config" / "ringway.toml"


def loaded(folder: pathlib.Path, text: str, **environment: str) -> Settings:
    path = folder / "site.toml"
    path.write_text(text)
    return load(path, environment)


def refusal(folder: pathlib.Path, text: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text, **environment)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_shipped_file_says_every_default_as_it_is() -> None:
    assert load(DEFAULT_FILE, {}) == Settings()


def test_the_shipped_file_says_every_key() -> None:
    shipped = tomllib.loads(DEFAULT_FILE.read_text())
    defaults = msgspec.to_builtins(Settings())
    del defaults["ami"]  # a list that is empty at first; the file shows one as a comment
    del defaults["admin"]  # accepted, and nothing listens there yet
    assert {name: set(section) for name, section in shipped.items()} == {
        name: set(section) for name, section in defaults.items()
    }


def test_the_settings_that_sites_rely_on_are_there() -> None:
    settings = Settings()
    assert (settings.agi.host, settings.agi.port, settings.agi.deadline_ms) == ("127.0.0.1", 4573, 1000)
    assert settings.agi.allow == ("127.0.0.0/8", "::1/128")
    assert settings.store.url == "sqlite:///var/lib/ringway/ringway.db"
    assert (settings.numbering.region, settings.numbering.bare) == ("GB", Bare.E164)
    assert settings.defaults.destination == Destination("ringway-default", "s", 1)
    assert settings.callbacks.store_down == "own-flow"
    assert (settings.metrics.port, settings.admin.port) == (9173, 8173)
    assert (settings.log.format, settings.log.level, settings.log.mask_callers) == ("json", "info", False)


def test_a_file_changes_what_it_names_and_leaves_the_rest(tmp_path: pathlib.Path) -> None:
    settings = loaded(tmp_path, '[agi]\nport = 4600\n[[ami]]\nname = "pbx1"\n')
    assert settings.agi.port == 4600
    assert settings.agi.deadline_ms == 1000
    assert settings.ami == (Ami("pbx1"),)


def test_a_byte_order_mark_is_nothing(tmp_path: pathlib.Path) -> None:
    assert loaded(tmp_path, "\ufeff[agi]\nport = 4600\n").agi.port == 4600


def test_no_file_means_the_defaults() -> None:
    assert load(None, {"PATH": "/bin", "HOME": "/"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("RINGWAY_AGI__PORT", "4600", "agi.port", 4600),
        ("RINGWAY_AGI__ALLOW", "192.0.2.0/24, 10.0.0.0/8", "agi.allow", ("192.0.2.0/24", "10.0.0.0/8")),
        ("RINGWAY_AGI__ALLOW", '["192.0.2.0/24"]', "agi.allow", ("192.0.2.0/24",)),
        ("RINGWAY_NUMBERING__BARE", "national", "numbering.bare", Bare.NATIONAL),
        ("RINGWAY_LOG__MASK_CALLERS", "true", "log.mask_callers", True),
        ("RINGWAY_LOG__FORMAT", "console", "log.format", "console"),
        ("RINGWAY_STORE__URL", "sqlite:///x.db", "store.url", "sqlite:///x.db"),
        ("RINGWAY_DEFAULTS__DESTINATION", '{ context = "c" }', "defaults.destination", Destination("c")),
        ("RINGWAY_DEFAULTS__DESTINATION__CONTEXT", "c", "defaults.destination.context", "c"),
        ("RINGWAY_AMI", '[{ name = "pbx1" }]', "ami", (Ami("pbx1"),)),
    ],
)
def test_the_environment_goes_over_the_file(
    tmp_path: pathlib.Path, name: str, text: str, path: str, value: object
) -> None:
    below = '[agi]\nport = 1\n[log]\nformat = "json"\n[defaults]\ndestination = { context = "d" }\n'
    found: Any = loaded(tmp_path, below, **{name: text})
    for key in path.split("."):
        found = getattr(found, key)
    assert found == value


def test_a_variable_leaves_the_rest_of_its_table(tmp_path: pathlib.Path) -> None:
    settings = loaded(tmp_path, "[agi]\nport = 1\ndeadline_ms = 5\n", RINGWAY_AGI__PORT="2")
    assert (settings.agi.port, settings.agi.deadline_ms) == (2, 5)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[agi]\nprot = 1", ["[agi] prot", "no such setting"]),
        ("[aggi]\nport = 1", ["[aggi]", "no such setting"]),
        ('[agi]\nport = "4573"', ["[agi] port: it is text, not a whole number"]),
        ("[agi]\nport = 1.5", ["[agi] port: it is a number with a fraction, not a whole number"]),
        ("[store]\ncluster = 1", ["[store] cluster: it is a whole number, not true or false"]),
        ('[log]\nformat = "xml"', ['[log] format: "xml" is not one of its values; use json, console']),
        ('[agi]\nallow = "127.0.0.1"', ["[agi] allow: it is text, not a list; write a list: [ … ]"]),
        ('[agi]\n"a.b" = 1', ['[agi] "a.b": there is no such setting; known are host, port']),
        ("[[ami]]\nname = 5", ["[ami] name: it is a whole number, not text"]),
        ("[agi]\nhots = 1", ["[agi] hots: there is no such setting; did you mean host?"]),
        ("[agi]\nallow = [5]", ["[agi] allow"]),
        ('[agi]\nallow = ["here"]', ["[agi] allow", "here", "192.0.2.0/24"]),
        ('[agi]\nallow = ["192.0.2.1/24"]', ["[agi] allow", "192.0.2.1/24"]),
        ("[agi]\nport = 65536", ["[agi] port", "65536"]),
        ("[admin]\nport = -1", ["[admin] port"]),
        ("[agi]\ndeadline_ms = 0", ["[agi] deadline_ms"]),
        ("[agi]\ndeadline_ms = 60001", ["[agi] deadline_ms", "60000"]),
        ('[numbering]\nregion = "UK"', ["[numbering] region", "GB"]),
        ('[numbering]\nbare = "both"', ["[numbering] bare", "both"]),
        ('[callbacks]\nstore_down = "x"', ["[callbacks] store_down"]),
        ('[log]\nlevel = "loud"', ["[log] level", "loud"]),
        ('[store]\nurl = "mysql://x"', ["[store] url", "redis", "sqlite:///path"]),
        ('[store]\nurl = "redis://x"\ntls_ca_file = "/ca"', ["[store] tls_ca_file", "no TLS", '"rediss:"']),
        ('[store]\nurl = "redis+sentinel://x/m"\ntls_cert_file = "/c"', ["tls_cert_file", '"rediss+sentinel:"']),
        ('[store]\nurl = "rediss://x"\ntls_key_file = "/k"', ["[store] tls_key_file", "no tls_cert_file"]),
        ('[store]\nurl = "redis://x"\nsentinel_username = "u"', ["[store] sentinel_username", "no sentinels"]),
        ('[store]\nurl = "rediss://x"\nsentinel_password_file = "/p"', ["[store] sentinel_password_file"]),
        ('[defaults]\ndestination = { context = "a,b" }', ["[defaults.destination] context", "a,b"]),
        ('[defaults]\ndestination = { context = "a", priority = 0 }', ["[defaults.destination] priority"]),
        ('[defaults]\ndestination = { contxt = "a" }', ["[defaults.destination]"]),
        ("[[ami]]\nport = 5", ["ami", "name"]),
        ('[[ami]]\nname = "a"\nport = 70000', ["[ami] port", "70000", '"a"']),
        ('[[ami]]\nname = "a"\nport = 0', ["[ami] port"]),
        ("[agi]\nport = 0", ["[agi] port", "is no port; use 1 to 65535"]),
        ("[agi]\nport = 65536", ["[agi] port", "use 1 to 65535"]),
        ("[metrics]\nport = -1", ["[metrics] port", "use 1 to 65535, or 0 for none"]),
        ('[[ami]]\nname = "a"\n[[ami]]\nname = "a"', ["[ami] name", '"a" stands twice']),
        ('[[ami]]\nname = ""', ["[ami] name", "has none"]),
        ('[[ami]]\nname = "a"\nhost = " "', ["[ami] host", '"a" has none']),
        ('[[ami]]\nname = "a"\nusername = ""', ["[ami] username", '"a" has none']),
        ('[[ami]]\nname = "a"\nsecret_file = ""', ["[ami] secret_file", '"a" has none']),
        ('[[ami]]\nname = "a"\n[[ami]]\nname = "b"', ["[ami] host", '"b" and "a" are the same host and port']),
        ('[[ami]]\nname = "a"\ntls_ca_file = "/ca.pem"', ["[ami] tls_ca_file", '"a" has no tls = true']),
        ("[agi]\nallow = []", ["[agi] allow", "nobody may ask"]),
        ("[agi]\nport = " + "9" * 5000, ["TOML"]),
        ("agi = " + "[" * 100_000, ["TOML"]),
        ("agi = 5", ["[agi]"]),
        ("[agi", ["TOML"]),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(tmp_path: pathlib.Path, text: str, names: list[str]) -> None:
    message = refusal(tmp_path, text)
    assert str(tmp_path / "site.toml") in message
    for each in names:
        assert each in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RINGWAY_AGI__PROT", "1"),
        ("RINGWAY_AGI__PORT", "many"),
        ("RINGWAY_AGI__PORT", ""),
        ("RINGWAY_AGI__PORT", "70000"),
        ("RINGWAY_AGI__PORT__X", "1"),
        ("RINGWAY_DEFAULTS__DESTINATION", "context"),
        ("RINGWAY_DEFAULTS__DESTINATION", "{ contxt = 1 }"),
        ("RINGWAY_AGI__ALLOW", "here"),
        ("RINGWAY_AGI__ALLOW", ""),
        ("RINGWAY_AGI__ALLOW", "[" * 100_000),
        ("RINGWAY_AMI", '[{ name = "a", port = 70000 }]'),
        ("RINGWAY_LOG__LEVEL", "loud"),
        ("RINGWAY_LOG__MASK_CALLERS", "perhaps"),
        ("RINGWAY_NUMBERING__REGION", "England"),
        ("RINGWAY_STORE__URL", "mysql://x"),
        ("RINGWAY_DEFAULTS__DESTINATION", "{ context = 5 }"),
        ("RINGWAY_DEFAULTS__DESTINATION__CONTEXT", "a b"),
        ("RINGWAY_AMI", '[{ name = "a" }, { name = 5 }]'),
        ("RINGWAY_AMI", "pbx1"),
        ("RINGWAY___", "x"),
        ("RINGWAY_SPEED__MAX", "9"),
    ],
)
def test_a_bad_variable_is_named_even_where_the_file_is_good(tmp_path: pathlib.Path, name: str, text: str) -> None:
    assert refusal(tmp_path, "[agi]\nport = 1\n", **{name: text}).startswith(f"{name}: ")


# What Kubernetes and Docker's links put into the environment beside services `ringway`, `ringway-agi` and so on.
_SERVICES = ("RINGWAY", "RINGWAY_AGI", "RINGWAY_AMI", "RINGWAY_METRICS", "RINGWAY_STORE")
_OF_A_PLATFORM = {
    f"{service}_{rest}": value
    for service in _SERVICES
    for rest, value in {
        "SERVICE_HOST": "10.96.0.10",
        "SERVICE_PORT": "4573",
        "SERVICE_PORT_AGI": "4573",
        "PORT": "tcp://10.96.0.10:4573",
        "PORT_4573_TCP": "tcp://10.96.0.10:4573",
        "PORT_4573_TCP_PROTO": "tcp",
        "PORT_4573_TCP_PORT": "4573",
        "PORT_4573_TCP_ADDR": "10.96.0.10",
        "NAME": "/pbx/ringway",
        "ENV_LANG": "C",
    }.items()
}


def test_what_a_container_platform_says_of_its_services_is_no_setting(tmp_path: pathlib.Path) -> None:
    assert "RINGWAY_AGI_PORT" in _OF_A_PLATFORM
    assert load(None, _OF_A_PLATFORM) == Settings()
    settings = loaded(tmp_path, "[agi]\nport = 4600\n", **_OF_A_PLATFORM, RINGWAY_METRICS__PORT="0")
    assert (settings.agi.port, settings.metrics.port) == (4600, 0)


@pytest.mark.parametrize(
    "name", ["RINGWAY", "RINGWAY_", "RINGWAY_SPEED", "RINGWAY_AGI", "RINGWAY_AGI_2", "RINGWAY_METRICS", "RINGWAY__A_B"]
)
def test_a_name_without_two_underscores_between_its_words_is_no_setting(tmp_path: pathlib.Path, name: str) -> None:
    assert loaded(tmp_path, "[agi]\nport = 1\n", **{name: "127.0.0.1:4573"}).agi.port == 1


def test_an_error_does_not_blame_a_variable_that_is_no_setting(tmp_path: pathlib.Path) -> None:
    message = refusal(tmp_path, "[agi]\nport = 70000\n", RINGWAY_AGI="127.0.0.1:4573")
    assert message.startswith(str(tmp_path / "site.toml"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[agi]\nhost = "a\\u0000b"', "[agi] host"),
        ('[store]\nurl = "sqlite:///a\\u0000b"', "[store] url"),
        ('[store]\nsnapshot = "/tmp/a\\u0000b"', "[store] snapshot"),
        ('[store]\nusername = "\\u0000"', "[store] username"),
        ('[metrics]\nhost = "\\u0000"', "[metrics] host"),
        ('[[ami]]\nname = "a"\nsecret_file = "/a\\u0000b"', "[ami] secret_file"),
    ],
)
def test_a_nul_is_refused_by_its_key(tmp_path: pathlib.Path, text: str, key: str) -> None:
    message = refusal(tmp_path, text)
    assert key in message
    assert "NUL" in message


def test_bytes_of_the_environment_that_are_no_text_are_refused(tmp_path: pathlib.Path) -> None:
    """Python hands them over as half characters, which no line of the log could hold."""
    for name in ("RINGWAY_AGI__HOST", "RINGWAY_STORE__SNAPSHOT", "RINGWAY_LOG__LEVEL"):
        assert refusal(tmp_path, "", **{name: "/tmp/\udcff"}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "key", ["snapshot", "password_file", "sentinel_password_file", "tls_ca_file", "tls_cert_file", "tls_key_file"]
)
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("~/a.db", "only a shell knows"),
        ("$HOME/a.db", "only a shell knows"),
        ("/srv/${SITE}/a.db", "only a shell knows"),
        ("/srv/a.db ", "blank"),
        ("/", "names no file"),
        ("..", "names no file"),
        ("/srv/", "names no file"),
        ("/srv/x/..", "names no file"),
        ("/srv/a\\nb", "printable"),
    ],
)
def test_a_path_is_taken_as_it_stands_so_what_only_a_shell_knows_is_refused(
    tmp_path: pathlib.Path, key: str, path: str, why: str
) -> None:
    url = "rediss+sentinel://a/m"
    cert = 'tls_cert_file = "/c"' if key == "tls_key_file" else ""
    message = refusal(tmp_path, f'[store]\nurl = "{url}"\n{cert}\n{key} = "{path}"')
    assert f"[store] {key}: " in message
    assert why in message


@pytest.mark.parametrize("key", ["secret_file", "tls_ca_file"])
def test_so_are_those_of_an_asterisk(tmp_path: pathlib.Path, key: str) -> None:
    message = refusal(tmp_path, f'[[ami]]\nname = "a"\ntls = true\n{key} = "~/a"')
    assert f"[ami] {key}: " in message
    assert '"~/a" of "a" begins with ~' in message


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("RINGWAY_AGI__PORT", "many", "write a whole number, without quotes"),
        ("RINGWAY_LOG__LEVEL", "loud", "use debug, info, warning, error"),
        ("RINGWAY_NUMBERING__BARE", "both", "use e164, national, refuse"),
        ("RINGWAY_LOG__MASK_CALLERS", "perhaps", "write true or false, without quotes"),
    ],
)
def test_a_bad_variable_is_answered_with_what_to_write(tmp_path: pathlib.Path, name: str, text: str, hint: str) -> None:
    assert refusal(tmp_path, "", **{name: text}).endswith(f": {hint}")


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ('[agi]\nport = "x"\n', {}),
        ("[agi]\nport = [1]\n", {}),
        ("[agi]\nport = 2020-01-01\n", {}),
        ("ami = {}\n", {}),
        ("[defaults]\ndestination = 5\n", {}),
        ("", {"RINGWAY_LOG__FORMAT": "xml"}),
        ("", {"RINGWAY_STORE__CLUSTER": "9"}),
    ],
)
def test_no_message_speaks_python(tmp_path: pathlib.Path, text: str, environment: dict[str, str]) -> None:
    message = refusal(tmp_path, text, **environment)
    assert not re.search(r"`|\b(int|str|bool|enum|array|object|Expected|Invalid)\b", message)


def test_a_file_that_cannot_be_read_is_named_with_the_hint(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml: No such file.*-c FILE"):
        load(tmp_path / "no.toml", {})
    with pytest.raises(SettingsError, match="directory"):
        load(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b'[store]\nurl = "\xe9"')
    with pytest.raises(SettingsError, match="utf-8"):
        load(tmp_path / "latin.toml", {})


def test_the_process_has_its_own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.toml").write_text("[agi]\nport = 4600\n")
    monkeypatch.setenv("RINGWAY_METRICS__PORT", "0")
    settings = from_process(str(tmp_path / "site.toml"))
    assert (settings.agi.port, settings.metrics.port) == (4600, 0)
    assert from_process(None).agi.port == 4573
