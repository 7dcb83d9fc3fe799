"""One word for one thing: what the glossary has replaced does not come back, and nothing refers to what is not here."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
THIS = pathlib.Path(__file__).resolve().relative_to(ROOT)
# What was renamed is named once more where that is told.
TOLD_IN = {"CHANGELOG.md", str(THIS)}
COINED = re.compile(
    r"the house\b|turned down|made anew|kept answer|safe answer|taken back|\bwitness|\buse[sd]? up\b"
    r"|turn_failed|\bkept answers\b|\bthe mend\b|\bthe right to\b|used rights"
    r"|number to show|\bhimself\b|\bsighting|\btakeover\b|mission page|\bthe contract\b|\(contract|architecture\.md\b"
    r"|\b[SZC][1-8]\b",
)
LOOKED_AT = (".py", ".md", ".toml", ".conf", ".yml", ".json", ".svg", ".lua", ".service", ".socket", "Makefile")


def test_no_word_that_the_glossary_replaced_comes_back() -> None:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = [
        f"{name}:{number}: {hit[0]}"
        for name in names
        if name.endswith(LOOKED_AT) and name not in TOLD_IN and (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text().splitlines(), start=1)
        for hit in COINED.finditer(line)
    ]
    assert found == []
