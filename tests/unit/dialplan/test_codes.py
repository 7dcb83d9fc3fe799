"""Every code of the dialplan and of the data files: a slug of its own, and sentences that can be made."""

import importlib
import pkgutil
import re
import string
from collections.abc import Iterator

import pytest

import dialplan
import router.management
from dialplan.wording import Code


def codes() -> Iterator[tuple[str, Code]]:
    for package in (dialplan, router.management):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                for each in value.values() if isinstance(value, dict) else [value]:
                    if isinstance(each, Code):
                        yield f"{found.name}.{name}", each


CODES = list({id(code): (name, code) for name, code in codes()}.values())


def test_there_are_codes() -> None:
    assert len(CODES) > 100


def test_a_slug_stands_for_one_thing() -> None:
    slugs = sorted(code.slug for _, code in CODES)
    assert slugs == sorted(set(slugs))


@pytest.mark.parametrize(("name", "code"), CODES, ids=[code.slug for _, code in CODES])
def test_a_slug_is_plain_and_its_sentences_name_their_arguments(name: str, code: Code) -> None:
    if "{" not in code.slug:  # else it is a pattern, of which each kind has its own
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code.slug), name
    for text in (code.text, code.hint):
        for _, argument, form, conversion in string.Formatter().parse(text):
            if argument is not None:
                assert re.fullmatch(r"[a-z][a-z_0-9]*", argument), (name, argument)
                assert not form
                assert conversion in (None, "q")
