"""What the documents say is so: their links lead somewhere, and what there is to be looked up is in them."""

import ast
import pathlib
import re
import subprocess
import tomllib

import msgspec
import pytest

from dialplan.campaigns.attempts import Outcome
from dialplan.campaigns.caller_ids import CallerIdReason
from dialplan.dataset.changes import NothingStored, prepare
from dialplan.dataset.problems import Place
from dialplan.dataset.reader import RawRow
from dialplan.kinds.parameter import Parameter
from dialplan.kinds.registry import KINDS, RowKind
from dialplan.routing.steps import REASONS
from router.agi.causes import CAUSES
from router.config.settings import Settings
from router.observe.log import CallRecord
from router.observe.metrics import CALLBACK_OUTCOMES, DROP_CAUSES, HEARING, Metrics

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    pathlib.Path(name)
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    if (ROOT / name).is_file()
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
README_MAX_WORDS = 900


def text_of(page: str | pathlib.Path) -> str:
    return (ROOT / page).read_text()


def anchors(page: pathlib.Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_inside_the_repository_leads_somewhere(page: pathlib.Path) -> None:
    broken = []
    for link in LINK.findall(text_of(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page.parent / path).resolve().relative_to(ROOT) if path else page
        if not (ROOT / target).exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").split()) <= README_MAX_WORDS


def test_every_field_stands_in_the_data_model() -> None:
    page = text_of("docs/data-model.md")
    structs: list[type[msgspec.Struct]] = [*(kind.struct for kind in KINDS.values()), Parameter]
    fields = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    assert {field for field in fields if f"`{field}`" not in page} == set()


def test_every_metric_stands_in_operations_and_no_other() -> None:
    families = [each for each in Metrics().registry.collect() if each.name.startswith("ringway_")]
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    page = text_of("docs/operations.md")
    assert set(re.findall(r"^\| `(ringway_\w+)`", page, re.MULTILINE)) == names


def tables_of(page: str, after: str) -> list[set[str]]:
    """The words in code spans of the first column of each table below a heading."""
    text = text_of(page)
    below = text[text.index(f"\n## {after}\n") :]
    below = below[: below.find("\n## ", 1) if "\n## " in below[1:] else None]
    tables = re.findall(r"(?:^\|.*\n)+", below, re.MULTILINE)
    return [
        {word for row in table.splitlines() for word in re.findall(r"`([\w -]+)`", row.split("|")[1])}
        for table in tables
    ]


def test_every_label_value_is_explained_in_operations() -> None:
    assert [set(Outcome), set(CALLBACK_OUTCOMES), set(CAUSES), set(DROP_CAUSES), set(HEARING)] == tables_of(
        "docs/operations.md", "Metrics"
    )[1:]


def test_every_reason_of_a_route_stands_in_the_data_model_with_the_lines_that_route_prints() -> None:
    reasons, printed = tables_of("docs/data-model.md", "Reasons")
    assert reasons == set(REASONS)
    told = set[str]()
    for path in [*(ROOT / "dialplan").rglob("*.py"), ROOT / "router/management/explain.py"]:
        told |= set(re.findall(r"(?:tell|\.step)\(\s*\"([a-z ]+)\",", path.read_text()))
    assert printed == told


def test_every_reason_that_the_dialplan_sets_or_hears_stands_on_its_page() -> None:
    page, dialplan = text_of("deploy/asterisk/README.md"), text_of("deploy/asterisk/extensions_ringway.conf")
    words = {str(reason) for reason in CallerIdReason}
    words |= set(re.findall(r"(?:ROUTE|SHOW)_REASON=([a-z-]+)", dialplan))
    assert {word for word in words if not re.search(rf"^\| `{word}` \|", page, re.MULTILINE)} == set()


def test_every_alert_stands_in_operations() -> None:
    alerts = set(re.findall(r"alert: (\w+)", text_of("config/prometheus/ringway.rules.yml")))
    assert alerts == set(re.findall(r"^\| `(Ringway\w+)`", text_of("docs/operations.md"), re.MULTILINE))


def events() -> set[str]:
    """The names of all log events in the code: the first word of what is logged."""
    found = {CallRecord.__struct_defaults__[-1]}
    for path in (ROOT / "router").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = {"RateLimitedLog": 1}.get(called, 0)
            if (
                called in ("info", "warning", "error", "exception", "say", "RateLimitedLog", "RepeatsLog")
                and len(node.args) > place
            ):
                name = node.args[place]
                if isinstance(name, ast.Constant) and re.fullmatch(r"[a-z_]+", str(name.value)):
                    found.add(str(name.value))
    return found


def test_every_log_event_stands_in_operations_and_no_other() -> None:
    page = text_of("docs/operations.md")
    table = page[page.index("## Log events") : page.index("## Alerts")]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == events()


def test_every_setting_stands_in_the_commented_configuration() -> None:
    page = text_of("config/ringway.toml")
    sections = {field.encode_name for field in msgspec.structs.fields(Settings)} - {
        "admin"
    }  # nothing listens there yet
    assert {name for name in sections if f"[{name}]" not in page and f"[[{name}]]" not in page} == set()


BLOCK = re.compile(r"^(?:<!-- (\w+)(?:: ([^>]*))? -->\n)?```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_says_what_it_is_and_a_command_that_is_not_run_says_why(page: pathlib.Path) -> None:
    for marker, reason, language, text in BLOCK.findall(text_of(page)):
        assert language in ("sh", "ini", "toml", "text"), text
        assert not marker or (marker == "site" and language == "sh" and len(reason) > 10), text


def test_data_that_the_documents_show_is_good() -> None:
    shown = [block for page in PAGES for _, _, language, block in BLOCK.findall(text_of(page)) if language == "toml"]
    assert shown
    for block in shown:
        sections = tomllib.loads(block)
        rows = [
            RawRow(RowKind(kind), Place("shown", f"{kind}[{place}]"), values)
            for kind, entries in sections.items()
            for place, values in enumerate(entries, start=1)
        ]
        assert len(prepare(rows, NothingStored())) == len(rows)
