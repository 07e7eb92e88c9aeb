"""What the documents say is so: links, tables, examples, files and names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nextword import registry
from nextword.cli.app import app

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
DOCUMENTS = sorted([ROOT / "README.md", GUIDE, *(ROOT / "docs").rglob("*.md")])
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


@pytest.mark.parametrize(("kind", "page"), [("cell", "recurrent.md"), ("smoothing", "ngram.md")])
def test_tables_have_every_part(kind: str, page: str) -> None:
    """Each registered part has a row that begins with its name."""
    rows = re.findall(r"^\| `([\w-]+)`", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M)
    assert set(registry.names(kind)) <= set(rows)


def test_every_verb_is_shown() -> None:
    """Some document has a command with it."""
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    assert set(re.findall(r"nextword ([a-z-]+)", "\n".join(texts))) >= VERBS


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


# ---------------------------------------------------------------- architecture.md, CONTRIBUTING.md


GUIDES = [ROOT / "docs" / "architecture.md", GUIDE]
PLACES = (ROOT, ROOT / "nextword")  # that files are named from


def spans(document: Path) -> list[str]:
    """What stands between back-ticks, code blocks left out."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.S)
    return re.findall(r"`([^`\n]+)`", text)


def defined(file: Path) -> set[str]:
    """The functions, classes, methods and variables of a file: `fit`, `Headed.score`."""
    names: set[str] = set()

    def visit(body: list[ast.stmt], outer: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(outer + node.name)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{outer}{node.name}.")
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(outer + one.id for one in targets if isinstance(one, ast.Name))

    visit(ast.parse(file.read_text(encoding="utf-8")).body, "")
    return names


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_files_and_functions_exist(document: Path) -> None:
    """`nn/heads.py` is a file, `nn/cells/` a folder, and `run.py:load` a function of a file."""
    checked = 0
    for span in spans(document):
        found = re.fullmatch(r"([\w./-]+(?:\.(?:py|md|toml|txt)|/))(?::([\w.]+))?", span)
        if not found:
            continue
        files = [place / found[1] for place in PLACES if (place / found[1]).exists()]
        assert files, span
        assert not found[2] or found[2] in defined(files[0]), span
        checked += 1
    assert checked > 10


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_names_exist(document: Path) -> None:
    """A name in back-ticks is a word of the code, the tests, the Makefile or the settings."""
    files = [*(ROOT / "nextword").rglob("*.py"), *(ROOT / "nextword").rglob("*.toml")]
    files += [*(ROOT / "tests").rglob("*.py"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    files = [file for file in files if file.name != Path(__file__).name]
    words = {word for file in files for word in re.findall(r"\w+", file.read_text("utf-8"))}
    words |= {file.stem for file in files}
    named = [span for span in spans(document) if re.fullmatch(r"[A-Za-z_][\w.]*(?:\(\))?", span)]
    assert len(named) > 3
    for span in named:
        assert set(re.findall(r"\w+", span)) <= words, span


def test_levels_are_those_of_the_import_linter() -> None:
    """The table of docs/architecture.md has every level, in its order."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    text = GUIDES[0].read_text(encoding="utf-8").split("| level |")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in text.splitlines()[2:]]
    assert rows == [layer.split(" | ") for layer in layers]
