"""What the documents say is so: links, commands, settings, examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nextword.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
VERBS = {command.name for command in app.registered_commands}


def anchors(document: Path) -> list[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = document.parent / path if path else document
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_exist(document: Path) -> None:
    """Every `nextword VERB` in a code block is a verb, and its options are its options."""
    for block in re.findall(r"```\w*\n(.*?)```", document.read_text(encoding="utf-8"), re.S):
        for verb, rest in re.findall(r"nextword ([a-z-]+)([^\n|]*)", block):
            assert verb in VERBS, verb
            source = (ROOT / "nextword" / "cli" / f"{verb.replace('-', '_')}.py").read_text()
            source += (ROOT / "nextword" / "cli" / "options.py").read_text()
            for option in re.findall(r"--([a-z-]+)", rest):
                assert f"--{option}" in source or option.replace("-", "_") in source, option


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text((ROOT / "examples" / "shakespeare.txt").read_text()[:20_000])
    command = [sys.executable, str(example), str(text), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
def test_readme_commands_work(tmp_path: Path) -> None:
    """Every command of the README, letter by letter, on the beginnings of the example files."""
    (tmp_path / "examples").mkdir()
    for name, size in (("shakespeare.txt", 10_000), ("numbers.tsv", 5_000)):
        text = (ROOT / "examples" / name).read_bytes()[:size]
        whole = text[: text.rindex(b"\n") + 1]
        (tmp_path / "examples" / name).write_bytes(whole)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "nextword").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nextword "$@"\n')
    (binaries / "nextword").chmod(0o755)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ran = set()
    for language, block in re.findall(r"```(\w*)\n(.*?)```", readme, re.S):
        if "make demo" in block:
            continue  # it and `make test` are commands of their own
        if language == "python":
            command = [sys.executable, "-c", block]
        else:
            command = ["bash", "-e", "-o", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        ran |= {"python"} if language else set(re.findall(r"bin/nextword ([a-z-]+)", block))
    assert {"python", "train", "generate", "evaluate", "score", "compare", "export"} <= ran
    assert {"translate", "inspect"} <= ran
    made = ["gradients.png", "attention.png", "shakespeare.arpa", "runs/both/config.json"]
    assert all((tmp_path / name).exists() for name in made)
