"""The commands, settings and figures of the documents: what is shown exists and agrees."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from nextword.cli.app import app
from nextword.cli.options import dynamic_settings
from nextword.config import (
    RECIPES,
    SECTIONS,
    Use,
    configure,
    override_items,
    parse_override,
    parse_section,
    refuse_unused,
)
from nextword.errors import InputError
from nextword.evaluation.cache import Cache
from nextword.registry import REGISTRY, load

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
PAGES = sorted([ROOT / "README.md", GUIDE, *(ROOT / "docs").rglob("*.md")])
RESULTS = sorted((ROOT / "docs" / "results").glob("*.md"))
RECIPE_FILES = sorted(RECIPES.glob("*.toml"))
VERBS: dict[str, click.Command] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PARTS = [(kind, kind) for kind in ("model", "objective", "optimizer", "schedule")]
PARTS += [(kind, "model.encoder") for kind in ("model", "encoder")]  # of a classifier
ENDINGS = {"arpa", "gz", "py", "safetensors", "toml", "tsv", "txt"}  # `train.txt` is no setting


def each(pages: list[Path]) -> Any:
    return pytest.mark.parametrize("page", pages, ids=lambda p: p.relative_to(ROOT).as_posix())


def shell_blocks(page: Path) -> list[str]:
    """What stands between fences that name no other language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    return [block for language, block in found if not language]


def commands_in(script: str) -> Iterator[list[str]]:
    """The commands of a shell script, as words, without comments, pipes and redirections.

    Variables have the value that they have at first: `NAME="…"`, `for NAME in …`.
    """
    script = re.sub(r"<\([^)]*\)", "FILE", script.replace("\\\n", " "))
    given = re.findall(r'^(\w+)="(.*)"$', script, re.M) + re.findall(r"for (\w+) in (\S+)", script)
    for name, value in given:
        script = script.replace(f"${name}", value)
    for line in script.splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if re.fullmatch(r"[;|&<>()]+", word):
                yield command
                command = []
            else:
                command.append(word)


def check_settings(recipe: str | None, settings: list[str], start: object = None) -> None:
    """A recipe takes these settings, and each does something; without a recipe, any takes them.

    `start` is the run after `--from`.
    """
    if recipe:
        starts_from = start is not None
        use = Use(configure(recipe, settings), starts_from=starts_from, same_model=starts_from)
        refuse_unused(override_items(settings), use)
        return
    for settle in RECIPE_FILES:
        try:
            configure(settle.stem, settings)
            return
        except InputError as error:
            refused = error
    raise refused


def check_command(words: list[str]) -> None:
    """`nextword VERB …` as it would be parsed; the files that it names need not exist."""
    verb, *rest = words
    assert verb in VERBS, verb
    given = VERBS[verb].make_context(verb, rest).params
    recipe = given.get("recipe") or given.get("name")
    check_settings(recipe, given.get("settings", []), given.get("start_from"))
    dynamic_settings(given.get("dynamic", False), given.get("dynamic_set", []))
    cache = dict(parse_override(item, "--cache-set") for item in given.get("cache_set", []))
    parse_section(Cache, cache, "--cache-set")


def check_synopsis(verb: str, rest: str) -> None:
    """`nextword VERB RUN [--beam N]`: the options are those of the verb."""
    known = {name for option in VERBS[verb].params for name in option.opts}
    assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known, (verb, rest)


def check_module(name: str, rest: list[str]) -> None:
    """`python -m benchmarks.NAME …`: the script exists and reads these options."""
    script = ROOT / f"{name.replace('.', '/')}.py"
    if script.with_suffix("").is_dir():  # a package
        script = script.with_suffix("") / "__main__.py"
    assert script.is_file(), name
    source = script.read_text(encoding="utf-8")
    if "Race(" in source:
        source += (script.parent / "race.py").read_text(encoding="utf-8")
    for word in rest:
        assert not word.startswith("--") or f'"{word}"' in source or word == "--help", (name, word)


@each(PAGES)
def test_commands_exist(page: Path) -> None:
    """Verbs, options, recipes, settings and their values, benchmarks and targets of make."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for block in shell_blocks(page):
        for verb, rest in re.findall(r"^nextword ([a-z-]+)(.*(?:…|\[--|\[FILE).*)$", block, re.M):
            check_synopsis(verb, rest)
        script = "\n".join(l for l in block.split("\n") if not re.search(r"…|\[--|\[FILE", l))
        for words in commands_in(script):
            for at, word in enumerate(words):
                if word == "nextword" or word.endswith("/nextword"):
                    check_command(words[at + 1 :])
                if word == "-m" and words[at + 1].startswith(("benchmarks.", "tests.")):
                    check_module(words[at + 1], words[at + 2 :])
                if word == "make":
                    wanted = [w for w in words[at + 1 :] if "=" not in w]
                    assert set(wanted) <= set(targets), words


def known_settings() -> set[str]:
    """Every key that `--set` takes for some recipe."""
    keys = {f"{table}.{key}" for table, schema in SECTIONS.items() for key in schema.model_fields}
    for kind, table in PARTS:
        for name in REGISTRY[kind]:
            keys |= {f"{table}.{key}" for key in load(kind, name).model_fields}
    return keys


def settings_in(text: str) -> set[str]:
    """What looks like `train.epochs`."""
    found = re.findall(
        r"(?<![\w/.])(?:text|source|model|objective|train|optimizer|schedule)(?:\.[a-z_]+)+(?![\w/(])",
        text,
    )
    return {key for key in found if key.rpartition(".")[2] not in ENDINGS}


@each([*PAGES, *RECIPE_FILES])
def test_settings_exist(page: Path) -> None:
    """In shell commands, between back-ticks, and in the comments of recipes."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".toml":
        shown = re.findall(r"#.*", text)
    else:
        shown = shell_blocks(page)
        shown += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))
    assert settings_in("\n".join(shown)) <= known_settings()


# ------------------------------------------------------------------------------------- figures


def numbers(text: str) -> set[str]:
    """The figures of a text that were measured: those with a decimal point, a comma, or a %."""
    return set(re.findall(r"\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+|\d+(?= %)", text))


@each(RESULTS)
def test_tables_stand_under_a_command(page: Path) -> None:
    """Every section of the results with a table has the command first."""
    for section in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.M)[1:]:
        before, table, _ = section.partition("\n| ")
        assert not table or "```" in before, section.splitlines()[0]


@each([page for page in PAGES if page not in RESULTS])
def test_figures_are_those_of_the_results(page: Path) -> None:
    """A figure beside a link to a page of results stands on that page."""
    for paragraph in re.split(r"\n\n|\n(?=[-|] )", page.read_text(encoding="utf-8")):
        links = re.findall(r"\]\(((?:docs/)?results/[\w-]+\.md)", paragraph)
        there = "".join((page.parent / link).read_text(encoding="utf-8") for link in links)
        assert not links or numbers(paragraph) <= numbers(there), paragraph


def test_the_table_of_the_demo_is_the_same_on_both_pages() -> None:
    """README.md has the rows of docs/results/human-numbers.md, without the seconds."""

    def table(path: Path, columns: list[int]) -> list[list[str]]:
        table = path.read_text(encoding="utf-8").split("| model | parameters |")[1].split("\n\n")[0]
        rows = [[cell.strip() for cell in row.split("|")] for row in table.splitlines()[2:]]
        return [[row[at] for at in columns] for row in rows]

    here = table(ROOT / "README.md", [1, 2, 3, 4, 5])
    assert here == table(ROOT / "docs" / "results" / "human-numbers.md", [1, 2, 4, 5, 6])
    assert len(here) > 5
