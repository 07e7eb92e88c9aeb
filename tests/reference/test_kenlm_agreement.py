"""KenLM's lmplz and query on the same text: the same model to the last bit, the same scores."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nextword.ngram import estimate as estimate_module
from nextword.ngram.estimate import Estimated, estimate
from nextword.ngram.settings import NgramSettings
from nextword.ngram.table import Table
from nextword.ngram.trie import BACKOFF, LOG_PROB
from nextword.text.lexicon import Lexicon
from nextword.text.tokenizer import UNK
from nextword.text.vocabulary_builder import VocabularyBuilder

FOLDER = Path(__file__).parent / "lmplz"
MODELS = {
    "order5": NgramSettings(order=5),
    "order3-prune001": NgramSettings(order=3, prune=(0, 0, 1)),
}
# log10 p, words, log10 back-off weight (None: the highest order has none)
Line = tuple[str, list[str], str | None]


@cache
def corpus() -> tuple[Lexicon, np.ndarray]:
    """The vocabulary and the ids of the corpus."""
    builder = VocabularyBuilder()
    ids = builder.add((FOLDER / "corpus.txt").read_text(encoding="utf-8"))
    lexicon, renumbered = builder.finish()
    return lexicon, renumbered[ids]


@cache
def estimated(name: str) -> Estimated:
    """The model that lmplz's command line stands for."""
    lexicon, ids = corpus()
    return estimate(ids, len(lexicon), MODELS[name])


@cache
def arpa(name: str) -> tuple[list[int], list[list[Line]]]:
    """What lmplz wrote: the numbers of its header, and the lines of each order."""
    sizes: list[int] = []
    orders: list[list[Line]] = []
    with gzip.open(FOLDER / f"{name}.arpa.gz", "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith("ngram "):
                sizes.append(int(line.split("=")[1]))
            elif line.endswith("-grams:"):
                orders.append([])
            elif "\t" in line:
                prob, words, *backoff = line.split("\t")
                orders[-1].append((prob, words.split(" "), backoff[0] if backoff else None))
    return sizes, orders


def differences(table: Table, name: str) -> list[str]:
    """The printed lines whose numbers are not the table's."""
    lexicon, _ = corpus()
    place = {word: at for at, word in enumerate(lexicon.words())}
    place["<s>"] = place["</s>"] = place.pop("<eos>")
    probs, backoffs = table.nodes.view(np.float32), table.contexts.view(np.float32)
    found = []
    for lines in arpa(name)[1]:
        for prob, words, backoff in lines:
            node = table.find([place[word] for word in words])
            same = node is not None
            if node is not None and words != ["<s>"]:  # its probability stands for nothing
                same &= bool(probs[node, 1] == np.float32(prob))
            if node is not None and backoff is not None and words != ["</s>"]:  # has no followers
                same &= bool(backoffs[node, 1] == np.float32(backoff))
            if not same:
                found.append(" ".join(words))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_every_number_is_the_printed_one(name: str) -> None:
    """Every probability and every back-off weight is the float32 in lmplz's file, and there are
    as many n-grams."""
    table = estimated(name).table
    sizes, orders = arpa(name)
    assert [len(lines) for lines in orders] == sizes
    assert table.sizes == [sizes[0] - 1, *sizes[1:]]  # <s> and </s> are one
    assert differences(table, name) == []


def test_a_bit_more_or_less_would_be_noticed() -> None:
    """The comparison sees a single probability and a single weight that are the next float32."""
    table = estimated("order5").table
    nodes, contexts = table.nodes.copy(), table.contexts.copy()
    nodes[20_000, LOG_PROB] += 1  # the bits of the logarithm
    contexts[5_000, BACKOFF] += 1
    assert len(differences(Table(nodes, contexts, table.offsets), "order5")) == 2


def test_discounts() -> None:
    """The discounts and n-grams that lmplz printed, to all of their six digits."""
    printed = """2466 D1=0.736007 D2=1.08465 D3+=1.44933
        6657 0.858173 1.12936 1.82067
        7820 0.934769 1.31787 1.21949
        7149 0.966224 1.31097 1.53401
        5895 0.932343 1.49517 2.69762"""
    made = estimated("order5")
    assert made.notes == []
    rows = [line.split() for line in printed.splitlines()]
    assert [made.sizes[0] + 1, *made.sizes[1:]] == [int(row[0]) for row in rows]
    for row, discounts in zip(rows, made.parameters, strict=True):
        assert list(discounts) == ["D1", "D2", "D3+"]
        theirs = [number.split("=")[-1] for number in row[1:]]
        assert [f"{discount:.6g}" for discount in discounts.values()] == theirs


def test_pruning_leaves_discounts_and_counts_alone() -> None:
    """Discounts come from all n-grams, pruned or not; orders that the two models share and that
    are counted alike (below the highest) have the same."""
    assert estimated("order3-prune001").parameters[:2] == estimated("order5").parameters[:2]
    assert estimated("order3-prune001").sizes == estimated("order5").sizes[:3]


def heldout() -> np.ndarray:
    """The ids of the held-out sentences."""
    return corpus()[0].ids((FOLDER / "heldout.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODELS)
def test_sentence_scores(name: str) -> None:
    """log10 p of every held-out sentence as query gives it, and its unknown words."""
    rows = (FOLDER / f"{name}.heldout.tsv").read_text().splitlines()
    sums, words, unknown = estimated(name).table.score_lines(heldout())
    assert len(sums) == len(rows) == 100
    assert sums == pytest.approx([float(row.split("\t")[0]) for row in rows], abs=1e-4)
    assert unknown.tolist() == [int(row.split("\t")[1]) for row in rows]
    lines = (FOLDER / "heldout.txt").read_text(encoding="utf-8").splitlines()
    assert words.tolist() == [len(line.split()) + 1 for line in lines]


@pytest.mark.parametrize(
    ("name", "every", "known"),
    [
        ("order5", 186.55736645116548, 95.88719132375002),
        ("order3-prune001", 194.73531432581592, 101.24747278612406),
    ],
)
def test_perplexities(name: str, every: float, known: float) -> None:
    """The perplexities that query prints, of all words and of those that are known."""
    ids = heldout()
    lines = np.split(ids, np.flatnonzero(ids == 1) + 1)[:-1]
    table = estimated(name).table
    scores = np.concatenate([table.score(line)[0] for line in lines]).astype(np.float64)
    assert (len(ids), int((ids == UNK).sum())) == (717, 100)
    assert 10 ** -scores.mean() == pytest.approx(every, rel=1e-6)
    assert 10 ** -scores[ids != UNK].mean() == pytest.approx(known, rel=1e-6)


SMALL = "a d\na c b\na c b\nc\n"
# lmplz -o 2 < SMALL; it printed D1=0.333333 D2=1.5 D3+=3 and D1=0.4 D2=1.6 D3+=3.
SMALL_PROBS = {
    "<unk>": "-0.9408785",
    "<eos>": "-0.9408785",
    "a": "-0.7035176",
    "b": "-0.7035176",
    "c": "-0.7518223",
    "d": "-0.7035176",
    "d <eos>": "-0.18987952",
    "c <eos>": "-0.5584794",
    "b <eos>": "-0.5351132",
    "<eos> a": "-0.7740987",
    "<eos> c": "-0.5221254",
    "a c": "-0.5996539",
    "a d": "-0.4789346",
    "c b": "-0.5762992",
}


def small() -> tuple[list[str], dict[str, np.float32]]:
    """Discounts of order 1 and 2 to six digits, and every probability, of SMALL at order 2."""
    builder = VocabularyBuilder()
    ids = builder.add(SMALL)
    lexicon, renumbered = builder.finish()
    made = estimate(renumbered[ids], len(lexicon), NgramSettings(order=2))
    assert made.notes == []
    discounts = [" ".join(f"{d:.6g}" for d in row.values()) for row in made.parameters]
    probs = {}
    for ngram in SMALL_PROBS:
        node = made.table.find([lexicon.id_of(word.encode()) for word in ngram.split()])
        probs[ngram] = made.table.nodes.view(np.float32)[node, LOG_PROB]
    assert made.table.sizes == [6, 8]
    return discounts, probs


def test_the_last_ngram_of_lmplz(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the n-gram that it sorts last (here b) lmplz counts the occurrences and not the words
    before. Discounts and probabilities are its own with that, and others without."""
    discounts, probs = small()
    assert discounts == ["0.333333 1.5 3", "0.4 1.6 3"]
    assert probs == {ngram: np.float32(text) for ngram, text in SMALL_PROBS.items()}
    monkeypatch.setattr(estimate_module, "count_last_as_lmplz", lambda *_: None)
    discounts, probs = small()
    assert discounts == ["0.6 0.2 3", "0.4 1.6 3"]
    assert probs["b"] != np.float32(SMALL_PROBS["b"])
