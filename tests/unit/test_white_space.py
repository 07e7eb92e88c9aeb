"""White space: one rule for a run, which travels with it into its ARPA file and the class.

`text.split=whitespace` cuts at all that Unicode calls white space, `ascii` at the blanks of ASCII
alone, as lmplz and KenLM do.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path

import pytest

import nextword
from nextword.config import TextConfig
from nextword.errors import InputError
from nextword.ngram import kenlm
from nextword.text.lexicon import Lexicon
from nextword.text.tagged import read_tagged
from nextword.text.tokenizer import train_tokenizer
from nextword.text.vocabulary_builder import VocabularyBuilder
from tests.support import Cli, command

BLANKS = " \t\r\v\f"
#: all that Python or Unicode takes for white space, but the end of a line
SPACES = [c for c in map(chr, range(sys.maxunicode)) if c.isspace() and c != "\n"]
FRENCH = "Pourquoi\u00a0? dit il\nPourquoi\u00a0? dit elle\n10\u00a0000 voix\n"
SPLITS = ["ascii", "whitespace"]
FILES = Path(__file__).parents[1] / "fixtures" / "arpa"


def words_of(text: str, split: str) -> list[str]:
    return text.split() if split == "whitespace" else [w.decode() for w in text.encode().split()]


@pytest.mark.parametrize("split", SPLITS)
def test_every_reader_cuts_alike(split: str) -> None:
    """The tokenizer, the vocabulary builder and the lexicon, at every character that is a space to
    someone: inside a word, at its ends, and doubled."""
    assert set(BLANKS) < set(SPACES) and len(SPACES) > 25
    text = "".join(f"a{c}b {c}c{c}{c} d{c}\n{c}\n" for c in SPACES)
    lines = [words_of(line, split) for line in text.split("\n")]
    config = TextConfig(tokenizer="word", split=split, vocab_size=None)
    tokenizer = train_tokenizer([text], config)
    builder = VocabularyBuilder(split == "ascii")
    provisional = builder.add(text)
    lexicon, final = builder.finish()
    assert lexicon.words() == [tokenizer.token(i) for i in range(tokenizer.vocab_size)]
    assert set(lexicon.words()[2:]) == set(itertools.chain(*lines))
    ids = tokenizer.encode(text)
    assert final[provisional].tolist() == lexicon.ids(text, split == "ascii").tolist() == ids
    named = [[lexicon.words()[i] for i in tokenizer.encode(line)] for line in text.split("\n")]
    assert named == lines
    assert Lexicon.of(lexicon.words()).has_plain_words()


@pytest.mark.parametrize("split", SPLITS)
def test_run_file_verbs_and_class_agree(split: str, cli: Cli, tmp_path: Path) -> None:
    """Trained on French, the run, its ARPA file, and the class on both give each line one score."""
    path = tmp_path / "french.txt"
    path.write_text(FRENCH, encoding="utf-8")
    settings = {"text.split": split, "model.order": 3, "model.smoothing": "witten-bell"}
    run = nextword.train("ngram", path, tmp_path / "run", overrides=settings, quiet=True)
    command("export", tmp_path / "run", "--format", "arpa", "--out", tmp_path / "x.arpa")
    nextword.train("ngram", path, tmp_path / "run2", overrides=settings, quiet=True)
    status = cli(
        *("train", "ngram", "--train", path, "--out", tmp_path / "y.arpa"),
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
    )[0]
    assert status == 0
    assert (tmp_path / "x.arpa").read_bytes() == (tmp_path / "y.arpa").read_bytes()
    lines = FRENCH.splitlines()
    again = nextword.load(tmp_path / "x.arpa")
    wanted = [score.log_prob for score in nextword.score(run, lines)]
    assert [score.oov for score in nextword.score(again, lines)] == [0, 0, 0]
    assert [score.log_prob for score in nextword.score(again, lines)] == pytest.approx(wanted)
    for place in ("run", "x.arpa"):
        model = kenlm.Model(tmp_path / place)
        found = [math.log(10) * model.score(line) for line in lines]
        assert found == pytest.approx(wanted, rel=1e-5)
        many = math.log(10) * model.score_many([*lines, ""])
        assert many[:3].tolist() == pytest.approx(wanted, rel=1e-5)
        words = words_of(lines[0], split)
        assert len(list(model.full_scores(lines[0]))) == len(words) + 1
        assert [word in model for word in words] == [True] * len(words)
        assert ("10\u00a0000" in model) == (split == "ascii")
    assert nextword.evaluate(again, path).nll == pytest.approx(nextword.evaluate(run, path).nll)


def test_the_recipe_cuts_as_lmplz(tmp_path: Path) -> None:
    """The n-gram recipe is KenLM's, its words too; a file without a comment is cut so."""
    path = tmp_path / "french.txt"
    path.write_text(FRENCH, encoding="utf-8")
    nextword.train("ngram", path, tmp_path / "run", quiet=True)
    command("export", tmp_path / "run", "--format", "arpa", "--out", tmp_path / "x.arpa")
    assert (tmp_path / "x.arpa").read_bytes().startswith(b"\\data\\")
    assert nextword.load(tmp_path / "run").config.text.split == "ascii"
    opened = nextword.load(FILES / "no-break-space.arpa")
    (found,) = nextword.score(opened, ["a\u00a0b wood"])
    assert found.oov == 0
    assert found.log_prob == pytest.approx(-3.1607 * math.log(10), rel=1e-4)  # KenLM's


def test_an_earlier_run_cuts_as_before(tmp_path: Path) -> None:
    """A tokenizer.json that says "whitespace" cuts at Unicode's, in the class too."""
    settings = {"text.split": "whitespace"}
    path = tmp_path / "french.txt"
    path.write_text(FRENCH, encoding="utf-8")
    run = nextword.train("ngram", path, tmp_path / "run", overrides=settings, quiet=True)
    tokenizer = json.loads((tmp_path / "run" / "tokenizer.json").read_text(encoding="utf-8"))
    assert tokenizer["split"] == "whitespace"
    assert run.tokenizer.encode("10\u00a0000") == run.tokenizer.encode("10 000")


# ------------------------------------------------------------------------------- words with tags


def test_words_with_blanks_cannot_be_tagged(tmp_path: Path) -> None:
    """`classify` could not tell one from two words, so training refuses them, and says how to write
    them; a no-break space is no blank, in training and in `classify`."""
    path = tmp_path / "tags.tsv"
    for blank in BLANKS.replace("\t", "").replace("\r", ""):
        path.write_text(f"in\tO\nNew{blank}York\tB-LOC\n\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"line 2 .* with a blank in it.*'New_York'"):
            list(read_tagged(path))


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2009"])
@pytest.mark.parametrize("between", ["\t", " "])
def test_words_are_those_of_training(space: str, between: str, tmp_path: Path) -> None:
    """What was one word in the file is one word for the tagger."""
    text = f"10{space}000{between}B-NUM\nvoix{between}O\n\n" * 6
    (tmp_path / "tags.tsv").write_text(text, encoding="utf-8")
    small = {"model.encoder.hidden": 4, "model.encoder.embedding": 4, "train.epochs": 1}
    run = nextword.train(
        "tagger", tmp_path / "tags.tsv", tmp_path / "run", overrides=small, quiet=True
    )
    (found,) = nextword.tag(run, [f"10{space}000 voix"])
    assert found.words == [f"10{space}000", "voix"] and len(found.tags) == 2
