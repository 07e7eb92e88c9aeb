"""Smoothing: every distribution sums to one and is the one that the formulas say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import pytest

from nextword import registry
from nextword.ngram import estimate as estimate_module
from nextword.ngram import smoothing
from nextword.ngram.estimate import Estimated, estimate
from nextword.ngram.settings import NgramSettings
from nextword.ngram.smoothing import (
    AbsoluteDiscounting,
    Discounting,
    ModifiedKneserNey,
    Statistics,
)
from nextword.ngram.table import Table
from nextword.ngram.trie import NEXT_STATE
from nextword.text.tokenizer import EOS, UNK

METHODS = registry.names("smoothing")
CONTINUATION = [name for name in METHODS if registry.load("smoothing", name).continuation]
DISCOUNTING = [n for n in METHODS if issubclass(registry.load("smoothing", n), Discounting)]
V = 12
Gram = tuple[int, ...]
Key = tuple[str, ...]


def text_of(seed: int, lines: int = 40) -> np.ndarray:
    """Lines of 0 to 8 words out of V, some frequent, the last never; with an even seed <unk>
    does not occur."""
    rng = np.random.default_rng(seed)
    ids: list[int] = []
    words = np.array([UNK, *range(2, V - 1)])
    weights = 0.6 ** np.arange(len(words))[::-1]
    weights[0] *= 5 * (seed % 2)
    for _ in range(lines):
        ids += rng.choice(words, rng.integers(0, 9), p=weights / weights.sum()).tolist()
        ids.append(EOS)
    return np.array(ids, np.uint32)


# ---------------------------------------------------------------- the slow twin


def sentences(ids: np.ndarray) -> list[list[int]]:
    """Each line with an <eos> before and after."""
    out = [[EOS]]
    for word in ids.tolist():
        out[-1].append(word)
        if word == EOS:
            out.append([EOS])
    return out[:-1]


def rank_of_lmplz(lines: list[list[int]]) -> dict[int, int]:
    """Words by first appearance, after the beginning and the end of lines."""
    ranks: dict[int, int] = {}
    for line in lines:
        for word in line[1:-1]:
            ranks.setdefault(word, len(ranks) + 1)
    return ranks


def last_of_lmplz(lines: list[list[int]], order: int) -> Gram:
    """The n-gram, padded at the beginning of a line with beginnings, whose last word is the
    greatest, then the one before, and so on."""
    ranks = rank_of_lmplz(lines)
    best: tuple[list[int], Gram] = ([], ())
    for line in lines:
        padded = [EOS] * (order - 1) + line[1:]
        for at in range(order - 1, len(padded)):
            gram = padded[at - order + 1 : at + 1]
            key = [ranks.get(word, -1) for word in gram[::-1]]
            if gram[-1] == EOS:
                key[0] = 0
            if key > best[0]:
                best = (key, tuple(gram))
    return best[1]


@dataclass
class Twin:
    """A model of dictionaries."""

    settings: NgramSettings
    vocab_size: int
    raw: list[Counter[Gram]]
    adjusted: list[Counter[Gram]]
    parameters: list[Callable[[int, int, int], float]]
    prob: list[dict[Gram, float]]
    kept: list[dict[Gram, float]]  # c' / N
    followers: list[dict[Gram, list[Gram]]]
    notes: list[str]

    def stays(self, gram: Gram) -> bool:
        """Not pruned."""
        prune = self.settings.prune
        least = prune[min(len(gram), len(prune)) - 1] if prune else 0
        return self.raw[len(gram) - 1][gram] > least

    def is_flat(self, context: Gram) -> bool:
        """Whether all words are equally probable after a context of less than n - 1 words: add-k
        knows no lower orders. At the beginning of a line there are no more words."""
        short = len(context) < self.settings.order - 1
        return self.settings.smoothing == "add-k" and short and context[:1] != (EOS,)

    def left(self, context: Gram) -> float:
        """γ: what the n-grams that stay leave over."""
        if self.is_flat(context):
            return 1.0
        stay = [gram for gram in self.followers[len(context)][context] if self.stays(gram)]
        return 1 - math.fsum(self.kept[len(context)][gram] for gram in stay)

    def p(self, context: Gram, word: int) -> float:
        """The probability of a word after a context of less than n words."""
        gram = (*context, word)
        if not context:
            return self.prob[0][gram]
        if gram[:-1] not in self.followers[len(context)]:
            return self.p(context[1:], word)
        if gram in self.prob[len(context)] and self.stays(gram):
            return self.prob[len(context)][gram]
        if self.interpolates:
            return self.left(context) * self.p(context[1:], word)
        return self.weight(context) * self.p(context[1:], word)

    @property
    def interpolates(self) -> bool:
        return self.settings.interpolate and self.settings.smoothing != "katz"

    def unseen(self, context: Gram) -> float:
        """What the lower order says of the words that do not stay after a context."""
        grams = self.followers[len(context)][context]
        kept = self.kept[len(context)]
        stay = [gram for gram in grams if self.stays(gram) and kept[gram] > 0]
        return 1 - math.fsum(self.p(gram[1:-1], gram[-1]) for gram in stay)

    def weight(self, context: Gram) -> float:
        if self.is_flat(context):
            return 1.0
        unseen = self.unseen(context)
        return self.left(context) / unseen if unseen > 1e-6 else 0.0

    def fit(self, k: int) -> None:
        """Order k, the orders below being there."""
        adjusted = self.adjusted[k - 1]
        follow: dict[Gram, list[Gram]] = {}
        for gram in adjusted:
            follow.setdefault(gram[:-1], []).append(gram)
        self.followers.append(follow)
        total = {h: sum(adjusted[gram] for gram in grams) for h, grams in follow.items()}
        types = {h: sum(adjusted[gram] > 0 for gram in grams) for h, grams in follow.items()}
        keep = self.parameters[k - 1]
        kept = {
            gram: keep(c, total[gram[:-1]], types[gram[:-1]]) / total[gram[:-1]] if c else 0.0
            for gram, c in adjusted.items()
        }
        if self.settings.smoothing == "katz":
            self._leave_something(follow, kept, total)
        self.kept.append(kept)
        self.prob.append({})
        if k == 1:
            self._unigrams(kept)
            return
        for gram, share in kept.items():
            h, word = gram[:-1], gram[-1]
            if self.is_flat(h):
                share = 1 / words_of(self)
            elif self.interpolates:
                share += self.left(h) * self.below(gram)
            elif share == 0:  # keeps nothing: as good as unseen
                share = self.weight(h) * self.below(gram)
            elif self.unseen(h) <= 1e-6:
                share = share / (1 - self.left(h))
            self.prob[-1][(*h, word)] = share

    def below(self, gram: Gram) -> float:
        """The lower order's estimate of an n-gram, itself pruned or not."""
        return self.prob[len(gram) - 2][gram[1:]]

    def _leave_something(
        self, follow: dict[Gram, list[Gram]], kept: dict[Gram, float], total: dict[Gram, int]
    ) -> None:
        """A context whose words keep all of their counts is as if one more word had followed."""
        for h, grams in follow.items():
            seen = [gram for gram in grams if self.adjusted[len(h)][gram]]
            whole = math.isclose(math.fsum(kept[gram] for gram in seen), 1)
            if whole and all(self.stays(gram) for gram in seen):
                for gram in seen:
                    kept[gram] *= total[h] / (total[h] + 1)

    def _unigrams(self, kept: dict[Gram, float]) -> None:
        flat = {(word,): 1 / words_of(self) for word in range(self.vocab_size)}
        if words_of(self) < self.vocab_size:
            flat[(UNK,)] = 0.0
        if self.is_flat(()):
            self.prob[0] = flat
            return
        over = 1 - math.fsum(kept.values())
        if self.interpolates:
            self.prob[0] = {gram: kept[gram] + over * flat[gram] for gram in kept}
            return
        unseen = math.fsum(flat[gram] for gram in kept if not self.adjusted[0][gram])
        for gram in kept:
            if unseen == 0:
                self.prob[0][gram] = kept[gram] / (1 - over)
            elif self.adjusted[0][gram]:
                self.prob[0][gram] = kept[gram]
            else:
                self.prob[0][gram] = over * flat[gram] / unseen


def words_of(twin: Twin) -> int:
    """The V of the formulas."""
    return twin.vocab_size - (not twin.settings.open and twin.raw[0][(UNK,)] == 0)


def twin_of(ids: np.ndarray, vocab_size: int, settings: NgramSettings) -> Twin:
    """Estimate by the definitions."""
    lines = sentences(ids)
    order = settings.order
    raw: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for line in lines:
        for k in range(1, order + 1):
            first = 1 if k == 1 else 0  # the beginning is not predicted
            for at in range(first, len(line) - k + 1):
                raw[k - 1][tuple(line[at : at + k])] += 1
    for word in range(vocab_size):
        raw[0][(word,)] += 0
    adjusted = [Counter(counts) for counts in raw]
    if settings.smoothing in CONTINUATION:
        for k in range(1, order):
            before = Counter(gram[1:] for gram in raw[k])
            for gram in raw[k - 1]:
                if k == 1 or gram[0] != EOS:
                    adjusted[k - 1][gram] = before[gram]
    twin = Twin(settings, vocab_size, raw, adjusted, [], [], [], [], [])
    last = last_of_lmplz(lines, order)
    for k in range(1, order + 1):
        counted = Counter(adjusted[k - 1].values())
        gram = last[len(last) - k :]
        special = settings.smoothing in CONTINUATION and k < order and gram != (EOS,)
        if special and gram in raw[k - 1]:
            counted[adjusted[k - 1][gram]] -= 1
            counted[raw[k - 1][gram]] += 1
        n = [counted[c] for c in range(7)]
        keep, note = FITS[settings.smoothing](twin, k, n)
        twin.parameters.append(keep)
        if note and adjusted[k - 1]:
            twin.notes.append(f"order {k}: {note}")
        twin.fit(k)
    return twin


Keep = Callable[[int, int, int], float]


def fit_add(twin: Twin, k: int, n: list[int]) -> tuple[Keep, str]:
    much = twin.settings.add_k * words_of(twin)
    return lambda c, N, T: c * N / (N + much), ""


def fit_katz(twin: Twin, k: int, n: list[int]) -> tuple[Keep, str]:
    why = ""
    for most in (5, 4, 3, 2):
        missing = [r for r in range(1, most + 2) if n[r] == 0]
        if missing:
            times = ("once", "twice", "three times", "four times", "five times", "six times")
            why = why or f"none was seen {times[missing[0] - 1]}"
            continue
        turing = {r: (r + 1) * n[r + 1] / n[r] for r in range(1, most + 1)}
        a = (most + 1) * n[most + 1] / n[1]
        if a >= 1:
            why = why or f"{most + 1} n{most + 1} is not below n1"
            continue
        d = {r: (turing[r] / r - a) / (1 - a) for r in turing}
        bad = [r for r in d if not 0 < d[r] <= 1]
        if not bad:
            note = why and f"{why}: counts up to {most} are discounted"
            return lambda c, N, T, d=d: d.get(c, 1.0) * c, note  # type: ignore[misc]
        why = why or f"d{bad[0]} would be {d[bad[0]]:.3g}"
    return lambda c, N, T: c, f"{why}: no count is discounted"


def fit_absolute(twin: Twin, k: int, n: list[int]) -> tuple[Keep, str]:
    if n[1] == 0 or n[2] == 0:
        times = "once" if n[1] == 0 else "twice"
        return lambda c, N, T: c - 0.75, f"none was seen {times}: discounts 0.75, 0.75, 0.75"
    d = n[1] / (n[1] + 2 * n[2])
    return lambda c, N, T: c - d, ""


def fit_modified(twin: Twin, k: int, n: list[int]) -> tuple[Keep, str]:
    ds = [0.5, 1.0, 1.5]
    note = ""
    missing = [c for c in (1, 2, 3) if n[c] == 0]
    if missing:
        note = f"none was seen {('once', 'twice', 'three times')[missing[0] - 1]}"
    else:
        f = np.float32  # as lmplz: what is zero on paper may be just below
        y = f(f(n[1]) / f(n[1] + 2 * n[2]))
        own = [float(f(c) - f(c + 1) * y * f(n[c + 1]) / f(n[c])) for c in (1, 2, 3)]
        bad = [c for c in (1, 2, 3) if own[c - 1] < 0]
        if bad:
            note = f"D{bad[0]} would be {own[bad[0] - 1]:.3g}"
        else:
            ds = own
    return lambda c, N, T: c - ds[min(c, 3) - 1], note and note + ": discounts 0.5, 1, 1.5"


def occurrences(twin: Twin, k: int) -> Iterator[tuple[int, int, float]]:
    """Count, count of the context and probability below of each n-gram of an order."""
    totals: Counter[Gram] = Counter()
    for gram, c in twin.adjusted[k - 1].items():
        totals[gram[:-1]] += c
    for gram, c in twin.adjusted[k - 1].items():
        if c:
            below = twin.below(gram) if k > 1 else 1 / words_of(twin)
            yield c, totals[gram[:-1]], below


def fit_jelinek(twin: Twin, k: int, n: list[int]) -> tuple[Keep, str]:
    weights = dict.fromkeys(range(33), 0.5)
    seen = list(occurrences(twin, k))
    for _ in range(20):
        mine: Counter[int] = Counter()
        every: Counter[int] = Counter()
        for c, N, below in seen:
            weight = weights[N.bit_length()]
            own = weight * (c - 1) / max(N - 1, 1)
            mine[N.bit_length()] += c * own / (own + (1 - weight) * below) if own else 0
            every[N.bit_length()] += c
        weights = {bits: round(mine[bits] / (every[bits] + 1), 9) for bits in weights}
    return lambda c, N, T: float(np.float32(weights[N.bit_length()])) * c, ""


FITS: dict[str, Callable[[Twin, int, list[int]], tuple[Keep, str]]] = {
    "maximum-likelihood": lambda twin, k, n: (lambda c, N, T: c, ""),
    "add-k": fit_add,
    "dirichlet": fit_add,
    "katz": fit_katz,
    "jelinek-mercer": fit_jelinek,
    "witten-bell": lambda twin, k, n: (lambda c, N, T: c * N / (N + T), ""),
    "absolute-discounting": fit_absolute,
    "kneser-ney": fit_absolute,
    "modified-kneser-ney": fit_modified,
}


# ---------------------------------------------------------------- every method


def test_every_method_has_a_twin() -> None:
    """A new one needs its formula here, in `FITS`, written as the paper has it."""
    assert FITS.keys() == set(METHODS)


VARIANTS = [
    {"prune": prune, "open": open_, "seed": seed}
    for seed, (prune, open_) in enumerate(
        [
            ((), True),
            ((0, 0, 1), True),
            ((0, 1, 2), False),
            ((), False),
            ((0, 1), True),
            ((), False),
        ]
    )
]


@lru_cache(maxsize=4)
def both(seed: int, settings: NgramSettings) -> tuple[Estimated, Twin]:
    return estimate(text_of(seed), V, settings), twin_of(text_of(seed), V, settings)


def contexts_of(twin: Twin, table: Table) -> list[tuple[Gram, int]]:
    """Every context that stays, and its state."""
    out = [((), 0)]
    for follow in twin.followers[1:]:
        for context in follow:
            state = table.find(context)
            if state is not None:
                out.append((context, state))
    return out


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("interpolate", [True, False], ids=["interpolate", "back off"])
@pytest.mark.parametrize("name", METHODS)
def test_distributions(name: str, interpolate: bool, order: int) -> None:
    """After every context in the model the probabilities sum to one and are the twin's."""
    for variant in VARIANTS:
        settings = NgramSettings(
            order=order,
            smoothing=name,
            interpolate=interpolate,
            add_k=0.5,
            open=bool(variant["open"]),
            prune=variant["prune"][:order],
        )
        made, twin = both(variant["seed"], settings)
        contexts = contexts_of(twin, made.table)
        assert len(contexts) >= (1, 10, 20, 30)[order - 1]
        assert made.notes == twin.notes
        assert made.sizes == [len(grams) for grams in twin.raw]
        for context, state in contexts:
            log_probs = made.table.distribution(state).astype(np.float64)
            p = 10**log_probs
            assert p.sum() == pytest.approx(1, abs=1e-5)
            expected = [twin.p(context, word) for word in range(V)]
            np.testing.assert_allclose(p, expected, rtol=1e-4, atol=2e-6)
            assert (log_probs[np.array(expected) < 1e-12] < -9).all()


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("interpolate", [True, False], ids=["interpolate", "back off"])
@pytest.mark.parametrize("name", METHODS)
def test_scores(name: str, interpolate: bool, order: int) -> None:
    """Word after word of another text, line ends and beginnings too, as the twin has it."""
    for variant in VARIANTS:
        settings = NgramSettings(
            order=order,
            smoothing=name,
            interpolate=interpolate,
            add_k=0.5,
            open=bool(variant["open"]),
            prune=variant["prune"][:order],
        )
        made, twin = both(variant["seed"], settings)
        text = text_of(101, lines=30)
        expected = [
            twin.p(tuple(line[max(0, at - order + 1) : at]), line[at])
            for line in sentences(text)
            for at in range(1, len(line))
        ]
        p = 10 ** made.table.score(text)[0].astype(np.float64)
        np.testing.assert_allclose(p, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("interpolate", [True, False], ids=["interpolate", "back off"])
@pytest.mark.parametrize("name", METHODS)
def test_few_words(name: str, interpolate: bool) -> None:
    """Texts of one to six lines of two or three words: contexts that every word follows, counts of
    counts that give no discounts, texts whose words all come before the first line ends."""
    full = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(3, 6))
        lines = [[*rng.integers(2, size, rng.integers(0, 9)), EOS] for _ in range(seed % 6 + 1)]
        text = np.concatenate(lines).astype(np.uint32)
        settings = NgramSettings(
            order=seed % 3 + 2,
            smoothing=name,
            interpolate=interpolate,
            add_k=0.5,
            open=seed % 4 == 0,
        )
        made, twin = estimate(text, size, settings), twin_of(text, size, settings)
        assert made.notes == twin.notes
        for context, state in contexts_of(twin, made.table):
            p = 10 ** made.table.distribution(state).astype(np.float64)
            expected = [twin.p(context, word) for word in range(size)]
            np.testing.assert_allclose(p, expected, rtol=1e-4, atol=2e-6)
            full += len(twin.followers[len(context)][context]) == size - 1
    assert full > 10


def test_what_lmplz_counts_last_is_part_of_the_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the texts above are such that lmplz's last n-gram changes probabilities, so leaving
    it out would have been seen."""
    monkeypatch.setattr(estimate_module, "count_last_as_lmplz", lambda *_: None)
    differ = 0
    for variant in VARIANTS:
        for name in CONTINUATION:
            settings = NgramSettings(
                order=3, smoothing=name, interpolate=True, add_k=0.5, open=True, prune=()
            )
            made = estimate(text_of(variant["seed"]), V, settings)
            twin = twin_of(text_of(variant["seed"]), V, settings)
            p = 10 ** made.table.distribution(0).astype(np.float64)
            differ += not np.allclose(p, [twin.p((), word) for word in range(V)], rtol=1e-4)
    assert differ > 0


# ---------------------------------------------------------------- by hand

WORDS = {"<unk>": UNK, "<eos>": EOS, "a": 2, "b": 3, "c": 4}


def ids_of(text: str) -> np.ndarray:
    words = text.replace("\n", " <eos> ").split()
    names = dict(WORDS)
    return np.array([names.setdefault(word, len(names)) for word in words], np.uint32)


def probability(made: Estimated, ngram: str) -> float:
    """p of the last word after those before."""
    *context, word = (WORDS[word] for word in ngram.split())
    state = made.table.find(context)
    assert state is not None
    return float(10 ** float(made.table.distribution(state)[word]))


# Unigrams <eos> 3, a 3, b 2, c 1 of 9; bigrams <eos> a 3, a b 2, a c 1, b <eos> 2, c <eos> 1.
TINY = "a b\na b\na c\n"
BY_HAND = [
    # order 1: c / N; order 2: the same after a
    ("maximum-likelihood", True, "a", 3 / 9),
    ("maximum-likelihood", True, "a b", 2 / 3),
    ("maximum-likelihood", False, "a b", 2 / 3),
    # (c + k) / (N + kV)
    ("add-k", True, "a b", (2 + 1) / (3 + 5)),
    ("add-k", True, "a c", (1 + 1) / (3 + 5)),
    ("add-k", True, "a a", (0 + 1) / (3 + 5)),
    ("add-k", True, "a <unk>", (0 + 1) / (3 + 5)),
    ("add-k", True, "<eos> a", (3 + 1) / (3 + 5)),
    ("add-k", True, "b <eos>", (2 + 1) / (2 + 5)),
    # the same at order 1; above, k V of the lower order's probability
    ("dirichlet", True, "a", 4 / 14),
    ("dirichlet", True, "<unk>", 1 / 14),
    ("dirichlet", True, "a b", 2 / 8 + 5 / 8 * 3 / 14),
    ("dirichlet", True, "a a", 5 / 8 * 4 / 14),
    # too few counts of counts: N + 1 in both orders, and the rest for unseen words
    ("katz", True, "a", 3 / 10),
    ("katz", True, "<unk>", 1 / 10),
    ("katz", True, "a b", 2 / 4),
    ("katz", True, "a a", 1 / 4 / (1 - 3 / 10) * 3 / 10),
    # c / (N + T), and T / (N + T) of the lower order's
    ("witten-bell", True, "a", 3 / 13 + 4 / 13 / 5),
    ("witten-bell", True, "a b", 2 / 5 + 2 / 5 * 14 / 65),
    ("witten-bell", True, "a <unk>", 2 / 5 * 4 / 65),
    ("witten-bell", False, "b", 2 / 13),
    ("witten-bell", False, "<unk>", 4 / 13),
    ("witten-bell", False, "a b", 2 / 5),
    ("witten-bell", False, "a <unk>", 2 / 5 / (1 - 3 / 13) * 4 / 13),
    ("witten-bell", False, "a a", 2 / 5 / (1 - 3 / 13) * 3 / 13),
    # D = 1 / 3 in both orders
    ("absolute-discounting", True, "a", (3 - 1 / 3) / 9 + 4 / 27 / 5),
    ("absolute-discounting", True, "a b", (2 - 1 / 3) / 3 + 2 / 9 * 29 / 135),
    ("absolute-discounting", False, "a b", (2 - 1 / 3) / 3),
    ("absolute-discounting", False, "<unk>", 4 / 27),
    # words before: <eos> 2, a 1, b 1, c 1 of 5; D = 3 / 5
    ("kneser-ney", True, "<eos>", (2 - 3 / 5) / 5 + 12 / 25 / 5),
    ("kneser-ney", True, "b", (1 - 3 / 5) / 5 + 12 / 25 / 5),
    ("kneser-ney", True, "a b", (2 - 1 / 3) / 3 + 2 / 9 * (2 / 25 + 12 / 125)),
]


@pytest.mark.parametrize(("name", "interpolate", "ngram", "expected"), BY_HAND)
def test_by_hand(name: str, interpolate: bool, ngram: str, expected: float) -> None:
    """Textbook values on a text of three lines."""
    made = estimate(
        ids_of(TINY), 5, NgramSettings(order=2, smoothing=name, interpolate=interpolate)
    )
    assert probability(made, ngram) == pytest.approx(expected, rel=1e-6)


def test_jelinek_mercer_by_hand() -> None:
    """Two words ten times each, V = 5: the others say 9/19, the uniform distribution 1/5, and the
    weight is where λ = 20/21 · λ 9/19 / (λ 9/19 + (1 - λ) 1/5)."""
    made = estimate(ids_of("a\n" * 10), 5, NgramSettings(order=1, smoothing="jelinek-mercer"))
    weight = (20 / 21 * 9 / 19 - 1 / 5) / (9 / 19 - 1 / 5)
    assert made.parameters == [{"λ16": pytest.approx(weight, abs=1e-6)}]
    assert probability(made, "a") == pytest.approx(weight / 2 + (1 - weight) / 5, rel=1e-5)
    assert probability(made, "<unk>") == pytest.approx((1 - weight) / 5, rel=1e-5)


def test_modified_kneser_ney_by_hand() -> None:
    """Y = 4 / (4 + 2·2) = 1/2, D1 = 1 - 2·Y·2/4, D2 = 2 - 3·Y·1/2, D3+ = 3 - 4·Y·1/1."""
    fitted = ModifiedKneserNey.fit(statistics_of(0, 4, 2, 1, 1))
    assert fitted.describe() == {"D1": 0.5, "D2": 1.25, "D3+": 1.0}
    assert fitted.note is None
    count = np.array([1, 2, 3, 4, 70_000], np.float32)
    assert fitted.keep(count, count, count).tolist() == [0.5, 0.75, 2.0, 3.0, 69_999.0]


def test_san_francisco() -> None:
    """A word that comes often, but after one word only, is less probable elsewhere than one that
    comes half as often after many (Kneser and Ney); absolute discounting is taken in."""
    text = "a b\n" * 8 + "d c\ne c\nf c\ng c\nd h\ne h\n"
    for name, wanted in (("absolute-discounting", False), ("kneser-ney", True)):
        made = estimate(ids_of(text), 10, NgramSettings(order=2, smoothing=name))
        assert (probability(made, "c") > probability(made, "b")) == wanted
        assert (probability(made, "c c") > probability(made, "c b")) == wanted
        assert probability(made, "a b") > 0.7


# ---------------------------------------------------------------- discounts


def statistics_of(*counts_of_counts: int) -> Statistics:
    return Statistics(1, 9, np.array(counts_of_counts), NgramSettings(), lambda: iter(()))


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ((0, 0, 1, 1, 1), "none was seen once"),
        ((0, 1, 0, 1, 1), "none was seen twice"),
        ((0, 1, 1, 0, 1), "none was seen three times"),
        ((0, 10, 1, 5, 1), "D2 would be -10.5"),
        ((0, 10, 5, 1, 9), "D3 would be -15"),
    ],
)
def test_fallback_of_modified_kneser_ney(counts: tuple[int, ...], reason: str) -> None:
    """Counts of counts that give no discounts: lmplz's fallback, and why."""
    fitted = ModifiedKneserNey.fit(statistics_of(*counts))
    assert fitted.discounts == smoothing.FALLBACK == (0.5, 1.0, 1.5)
    assert fitted.note == f"{reason}: discounts 0.5, 1, 1.5"


@pytest.mark.parametrize(
    ("counts", "reason"), [((0, 0, 1), "none was seen once"), ((0, 1, 0), "none was seen twice")]
)
def test_fallback_of_absolute_discounting(counts: tuple[int, ...], reason: str) -> None:
    """Without words seen once or twice D is 0.75, and why."""
    fitted = AbsoluteDiscounting.fit(statistics_of(*counts))
    assert fitted.describe() == {"D": 0.75}
    assert fitted.note == f"{reason}: discounts 0.75, 0.75, 0.75"


SPARSE = ["", "\n", "a\n", "a a a a a\n", "a b\n" * 4, "a b c a b c\n\n", "\n\n\n", "<unk>\n"]


@pytest.mark.parametrize("text", SPARSE)
@pytest.mark.parametrize("name", METHODS)
def test_texts_too_small(name: str, text: str) -> None:
    """No text is too small: nothing raises, distributions sum to one, and every order that has
    n-grams but no discounts of its own is noted."""
    for order in (1, 2, 5):
        for interpolate in (True, False):
            for open_ in (True, False):
                settings = NgramSettings(
                    order=order, smoothing=name, interpolate=interpolate, add_k=1.0, open=open_
                )
                made = estimate(ids_of(text), 5, settings)
                assert len(made.parameters) == order
                for state in np.unique(made.table.nodes[:, NEXT_STATE]).tolist():
                    p = 10 ** made.table.distribution(state).astype(np.float64)
                    assert p.sum() == pytest.approx(1, abs=1e-5), (settings, state)
                if name in ("modified-kneser-ney", "katz"):
                    noted = [note.split(":")[0] for note in made.notes]
                    assert noted == [f"order {k}" for k, size in enumerate(made.sizes, 1) if size]
                elif name not in DISCOUNTING:
                    assert made.notes == []


# ---------------------------------------------------------------- Jelinek-Mercer


def chain_of(seed: int) -> np.ndarray:
    """300 lines of words that depend on the word before, some more than others."""
    rng = np.random.default_rng(seed)
    after = rng.dirichlet(np.full(V - 2, 0.25), V)
    ids: list[int] = []
    for _ in range(300):
        word = EOS
        for _ in range(rng.integers(1, 9)):
            word = int(rng.choice(np.arange(2, V), p=after[word]))
            ids.append(word)
        ids.append(EOS)
    return np.array(ids, np.uint32)


@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weights_maximise_the_probability_of_what_is_left_out(seed: int, interpolate: bool) -> None:
    """Of every bucket: a little more or less weight makes the text, each occurrence under the
    counts of all others, less probable; one more occurrence of something unseen included. Order 1
    is as good as the uniform distribution here, and comes near the best weight slowly."""
    settings = NgramSettings(order=2, smoothing="jelinek-mercer", interpolate=interpolate)
    made, twin = estimate(chain_of(seed), V, settings), twin_of(chain_of(seed), V, settings)
    tried = 0
    for k, weights in enumerate(made.parameters, start=1):
        seen = list(occurrences(twin, k))
        for bucket in sorted({N.bit_length() for _, N, _ in seen}):
            mine = [item for item in seen if item[1].bit_length() == bucket]

            def likelihood(weight: float, mine: list[tuple[int, int, float]] = mine) -> float:
                return math.log(1 - weight) + math.fsum(
                    c * math.log(weight * (c - 1) / max(N - 1, 1) + (1 - weight) * below)
                    for c, N, below in mine
                )

            best = weights[f"λ{1 << (bucket - 1)}"]
            occurred = sum(c for c, _, _ in mine)
            most = max(map(likelihood, np.linspace(0, 0.999, 200).tolist()))
            assert likelihood(best) > most - 0.005 * occurred
            assert likelihood(0.5) < most - 0.005 * occurred  # where it began
            if k == 2:
                for other in (best - 0.01, best + (1 - best) / 2):
                    assert likelihood(best) > likelihood(other), (k, bucket, best)
                    tried += 1
    assert tried >= 4


@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("order", [2, 3])
def test_a_weight_never_leaves_nothing_over(order: int, interpolate: bool) -> None:
    """Where each context of a bucket was always followed by the same word, something else is
    improbable and not impossible."""
    made = estimate(
        ids_of("a b c\n" * 40),
        6,
        NgramSettings(order=order, smoothing="jelinek-mercer", interpolate=interpolate),
    )
    for state in range(len(made.table.contexts) - 1):
        assert made.table.distribution(state).min() > -9


def test_weight_zero_where_every_word_was_seen() -> None:
    """Backing off from a context that every word followed once, so that its weight is zero, the
    lower order has it all."""
    made = estimate(
        ids_of("a a a\n"),
        3,
        NgramSettings(order=3, smoothing="jelinek-mercer", interpolate=False, open=False),
    )
    state = made.table.find([WORDS["a"], WORDS["a"]])
    assert state is not None
    assert (10 ** made.table.distribution(state)).sum() == pytest.approx(1, abs=1e-5)


# ---------------------------------------------------------------- what never came


@pytest.mark.parametrize("interpolate", [True, False])
def test_maximum_likelihood_knows_nothing_unseen(interpolate: bool) -> None:
    """What was seen has its share exactly; what was not is impossible."""
    made = estimate(
        ids_of(TINY),
        5,
        NgramSettings(order=3, smoothing="maximum-likelihood", interpolate=interpolate),
    )
    table = made.table
    log_probs = table.score(ids_of("a b\na c\n"))[0]
    assert log_probs == pytest.approx(np.log10([1, 2 / 3, 1, 1, 1 / 3, 1]), abs=1e-7)
    for ngram in ("<unk>", "a a", "b c", "<eos> b"):
        assert probability(made, ngram) < 1e-90
    assert table.distribution(0)[UNK] == -100


@pytest.mark.parametrize("interpolate", [True, False])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "maximum-likelihood"])
def test_open_and_closed(name: str, interpolate: bool) -> None:
    """Open, <unk> has the share of a word that never came. Closed, it has none, and each of the
    others more. One that occurred is an ordinary word in both."""
    text, order = text_of(2), 3
    settings = NgramSettings(order=order, smoothing=name, interpolate=interpolate)
    free = estimate(text, V, settings).table.distribution(0)
    shut = estimate(text, V, settings.model_copy(update={"open": False})).table.distribution(0)
    assert free[UNK] == free[V - 1] > -5  # V - 1 never came either
    assert shut[UNK] == -100
    assert shut[V - 1] > free[V - 1]
    text = text_of(1)
    assert (text == UNK).any()
    free, shut = (
        estimate(text, V, settings.model_copy(update={"open": o})).table for o in (True, False)
    )
    assert np.array_equal(free.nodes, shut.nodes) and np.array_equal(free.contexts, shut.contexts)
    renamed = np.where(text == UNK, V - 1, np.where(text == V - 1, UNK, text))
    other = estimate(renamed, V, settings).table.distribution(0)
    assert other[V - 1] == pytest.approx(free.distribution(0)[UNK], abs=1e-6)


# ---------------------------------------------------------------- two textbook methods once more


def long_text(seed: int, size: int = 60, lines: int = 1200) -> tuple[np.ndarray, int]:
    """Lines of one to nine words, as frequent as Zipf's law has it, and the size of the
    vocabulary."""
    rng = np.random.default_rng(seed)
    words = np.arange(2, size)
    weights = 1 / np.arange(1, len(words) + 1)
    lengths = rng.integers(1, 10, lines)
    drawn = rng.choice(words, int(lengths.sum()), p=weights / weights.sum())
    ends = np.cumsum(lengths)
    return np.insert(drawn, ends, EOS).astype(np.uint32), size


def counts_after(ids: np.ndarray, order: int) -> dict[Gram, Counter[int]]:
    """The words after each context of up to order - 1 words, those at a line's beginning too."""
    after: dict[Gram, Counter[int]] = {}
    for line in sentences(ids):
        for at in range(1, len(line)):
            for length in range(min(order, at + 1)):
                after.setdefault(tuple(line[at - length : at]), Counter())[line[at]] += 1
    return after


@pytest.mark.parametrize("order", [1, 2, 3])
def test_add_k_is_the_textbooks(order: int) -> None:
    """(c + k) / (N + kV) for every word after every context of n - 1 words, seen or not; at the
    beginning of a line the context is shorter."""
    ids, size = long_text(order)
    k = 0.3
    made = estimate(ids, size, NgramSettings(order=order, smoothing="add-k", add_k=k))
    after = counts_after(ids, order)
    text, _ = long_text(order + 10)
    log_probs = made.table.score(text)[0]
    found = iter(10 ** log_probs.astype(np.float64))
    for line in sentences(text):
        for at in range(1, len(line)):
            counts = after.get(tuple(line[max(0, at - order + 1) : at]), Counter())
            expected = (counts[line[at]] + k) / (counts.total() + k * size)
            assert next(found) == pytest.approx(expected, rel=1e-5)


def test_katz_is_the_papers() -> None:
    """Katz 1987: d_r r / N if the n-gram was seen, else alpha times the lower order's."""
    order = 3
    ids, size = long_text(1, size=20_000, lines=12_000)
    made = estimate(ids, size, NgramSettings(order=order, smoothing="katz"))
    assert not made.notes and all(len(one) == 5 for one in made.parameters)
    after = counts_after(ids, order)
    ratios: list[dict[int, float]] = []
    for length in range(order):
        n = Counter(c for h, words in after.items() if len(h) == length for c in words.values())
        a = 6 * n[6] / n[1]
        ratios.append({r: ((r + 1) * n[r + 1] / n[r] / r - a) / (1 - a) for r in range(1, 6)})

    @cache
    def kept(h: Gram) -> dict[int, float]:
        """What the words seen after a context keep of their share."""
        counts = after[h]
        return {w: ratios[len(h)].get(c, 1.0) * c / counts.total() for w, c in counts.items()}

    @cache
    def alpha(h: Gram) -> float:
        lower = math.fsum(katz(h[1:], w) for w in kept(h)) if h else len(kept(h)) / size
        return (1 - math.fsum(kept(h).values())) / (1 - lower)

    def katz(h: Gram, word: int) -> float:
        if h not in after:
            return katz(h[1:], word)
        seen = kept(h).get(word)
        if seen is not None:
            return seen
        return alpha(h) * (katz(h[1:], word) if h else 1 / size)

    text = long_text(7, size=20_000, lines=1000)[0]
    found = iter(10 ** made.table.score(text)[0].astype(np.float64))
    for line in sentences(text):
        for at in range(1, len(line)):
            expected = katz(tuple(line[max(0, at - order + 1) : at]), line[at])
            assert next(found) == pytest.approx(expected, rel=2e-4)
