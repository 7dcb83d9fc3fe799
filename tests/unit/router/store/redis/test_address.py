"""Addresses: what they name, and what of a mistaken one is shown."""

import pytest

from router.store.api import StoreError
from router.store.redis.address import Address, parse

SECRET = "s3cret/#p@ss"  # noqa: S105
QUOTED = "s3cret%2F%23p%40ss"


@pytest.mark.parametrize(
    ("url", "hosts", "tls", "database", "service"),
    [
        ("redis://10.0.0.5", [("10.0.0.5", 6379)], False, 0, ""),
        ("redis://10.0.0.5/", [("10.0.0.5", 6379)], False, 0, ""),
        ("redis://db.example:7000/3", [("db.example", 7000)], False, 3, ""),
        ("rediss://[2001:db8::5]:6380/1", [("2001:db8::5", 6380)], True, 1, ""),
        ("redis://a:7000,b,[::1]:7002", [("a", 7000), ("b", 6379), ("::1", 7002)], False, 0, ""),
        ("redis+sentinel://a:1,b,[::1]:3/main", [("a", 1), ("b", 26379), ("::1", 3)], False, 0, "main"),
        ("rediss+sentinel://a/main/2", [("a", 26379)], True, 2, "main"),
    ],
)
def test_an_address_names_its_hosts_and_its_database(
    url: str, hosts: list[tuple[str, int]], tls: bool, database: int, service: str
) -> None:
    assert parse(url) == Address(url, tuple(hosts), tls, database, service, "", "")


@pytest.mark.parametrize(
    ("user", "username", "password"),
    [
        (f"ringway:{QUOTED}", "ringway", SECRET),
        (f":{QUOTED}", "", SECRET),
        (f"ringway:{SECRET}", "ringway", SECRET),
        ("ringway", "ringway", ""),
    ],
)
def test_a_user_and_a_password_are_taken_and_not_shown(user: str, username: str, password: str) -> None:
    address = parse(f"redis://{user}@10.0.0.5:6379/0")
    assert (address.username, address.password) == (username, password)
    assert address.shown == "redis://10.0.0.5:6379/0"


@pytest.mark.parametrize(
    "url",
    [
        "redis:",
        "redis://",
        "redis:///0",
        "redis:10.0.0.5",
        "http://10.0.0.5",
        "redis://10.0.0.5:port/0",
        "redis://10.0.0.5:70000/0",
        "redis://10.0.0.5:0/0",
        "redis://10.0.0.5:6379\n/0",
        "redis://10.0.0.5 /0",
        "redis://10.0.0.5/zero",
        "redis://10.0.0.5/-1",
        "redis://10.0.0.5/\N{ARABIC-INDIC DIGIT ONE}",
        "redis://10.0.0.5/0?db=1",
        "redis://10.0.0.5/0#",
        "redis://a,,b/0",
        "redis+sentinel://a,b",
        "redis+sentinel://a,,b/main",
        "redis+sentinel://a/main/zero",
    ],
)
def test_what_is_no_address_is_refused_with_how_to_write_it(url: str) -> None:
    with pytest.raises(StoreError, match=r"is no address of a Redis; write redis://HOST:6379/0, rediss://HOST"):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://ringway:{SECRET}@10.0.0.5:port/0",
        f"redis://:{SECRET}@10.0.0.5/zero",
        f"redis:/ringway:{SECRET}@10.0.0.5",
        f"redis:ringway:{SECRET}@10.0.0.5",
        f"http://{SECRET}@10.0.0.5",
        f"{SECRET}:{SECRET}@10.0.0.5",
        f"redis://10.0.0.5/0?password={QUOTED}",
    ],
)
def test_a_mistaken_address_does_not_show_its_secret(url: str) -> None:
    with pytest.raises(StoreError, match=r"10\.0\.0\.5") as caught:
        parse(url)
    for part in ("s3cret", "p@ss", "p%40ss"):
        assert part not in str(caught.value)
