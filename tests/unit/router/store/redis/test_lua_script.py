"""The Lua files: each is a script that is used or a part of one, says its arguments, and is shipped."""

import pathlib
import re
import tomllib

import pytest

from router.store.redis import callback_scripts, inspection, lua_script, scripts
from router.store.redis.lua_script import Script, load

FOLDER = pathlib.Path(lua_script.__file__).parent / "lua"
FILES = sorted(path.stem for path in FOLDER.iterdir())
WHOLE = [name for name in FILES if not name.startswith("_")]
PARTS = [name.removeprefix("_") for name in FILES if name.startswith("_")]


def test_every_script_is_used_once() -> None:
    modules = (scripts, callback_scripts, inspection)
    kept = {each for module in modules for each in vars(module).values() if type(each) is Script}
    used = [each.text for each in kept]
    assert sorted(used) == sorted(load(name).text for name in WHOLE)


@pytest.mark.parametrize("name", WHOLE)
def test_a_script_says_its_keys_and_its_arguments_and_has_all_that_it_includes(name: str) -> None:
    text = load(name).text
    assert re.match(r"-- KEYS: .*ARGV: request id|-- KEYS: [^\n]*\n-- .*ARGV: request id", text)
    assert "include:" not in text


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_what_several_scripts_share(name: str) -> None:
    part = (FOLDER / f"_{name}.lua").read_text().rstrip("\n")
    assert sum(part in load(each).text for each in WHOLE) > 1


def test_the_files_are_shipped_with_the_package() -> None:
    root = pathlib.Path(__file__).parents[5]
    shipped = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["router"]
    found = {path for pattern in shipped for path in (root / "router").glob(pattern)}
    assert set(FOLDER.iterdir()) <= found
