"""A finished model: every way of asking gives the same answer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.ngram import table as table_module
from nextword.ngram.estimate import estimate
from nextword.ngram.settings import NgramSettings
from nextword.ngram.table import Table, natural, uniform
from nextword.ngram.trie import BACKOFF, FIRST_FOLLOWER, LOG_PROB, WORD
from nextword.text.lexicon import Lexicon
from nextword.text.tokenizer import EOS, UNK

V = 12
Gram = tuple[int, ...]


def text_of(tokens: int, seed: int = 0) -> np.ndarray:
    """Lines of about ten words, each depending on the one before."""
    rng = np.random.default_rng(seed)
    ids = [EOS]
    for _ in range(tokens - 2):
        if rng.random() < 0.1:
            ids.append(EOS)
        elif rng.random() < 0.5:
            ids.append(2 + (3 * ids[-1] + 1) % (V - 3))
        else:
            ids.append(2 + int(rng.random() ** 2 * (V - 3)))
    return np.array([*ids, EOS], np.uint32)


def disturbed(seed: int) -> Table:
    """The n-grams of a model with probabilities and weights that belong to none: a back-off may
    make a word more probable than its n-gram does."""
    rng = np.random.default_rng(seed)
    whole = estimate(text_of(500), V, NgramSettings(order=4)).table
    nodes, contexts = whole.nodes.copy(), whole.contexts.copy()
    nodes.view(np.float32)[1:, LOG_PROB] = rng.uniform(-3, 0, len(nodes) - 1)
    weights = rng.uniform(-2, 1, len(contexts) - 1)
    weights[np.diff(contexts[:, FIRST_FOLLOWER]) == 0] = 0  # what has no followers has no weight
    contexts.view(np.float32)[1:-1, BACKOFF] = weights[1:]
    return Table(nodes, contexts, whole.offsets)


MODELS = {
    "interpolated": NgramSettings(order=4),
    "unigrams": NgramSettings(order=1),
    "back-off": NgramSettings(order=3, smoothing="witten-bell", interpolate=False),
    "entropy": NgramSettings(order=4, prune_entropy=3e-3),
    "counts": NgramSettings(order=4, prune=(0, 0, 1)),
    "impossible": NgramSettings(order=3, smoothing="maximum-likelihood"),
    "long": NgramSettings(order=9, smoothing="witten-bell"),
}
NAMES = [*MODELS, "uniform", "disturbed"]


@cache
def model(name: str) -> Table:
    if name == "uniform":
        return uniform(V)
    if name == "disturbed":
        return disturbed(0)
    return estimate(text_of(500), V, MODELS[name]).table


@cache
def ngrams(name: str) -> list[Gram]:
    """The n-gram of every node, that of node 0 being empty."""
    table = model(name)
    found: list[Gram] = [()]
    for context in range(len(table.contexts) - 1):
        for node in range(
            table.contexts[context, FIRST_FOLLOWER], table.contexts[context + 1, FIRST_FOLLOWER]
        ):
            assert node == len(found)
            found.append((*found[context], int(table.nodes[node, WORD])))
    assert len(found) == len(table.nodes)
    return found


def naive(name: str, history: list[int], word: int) -> float:
    """log10 p by the definition: the n-gram's own, or the context's weight and one word less."""
    table = model(name)
    probs, weights = table.nodes.view(np.float32), table.contexts.view(np.float32)
    nodes = {gram: node for node, gram in enumerate(ngrams(name))}
    context = tuple(history[max(0, len(history) - table.order + 1) :]) if table.order > 1 else ()
    log_prob = 0.0
    while (*context, word) not in nodes:
        if context in nodes:
            log_prob += float(weights[nodes[context], 1])
        context = context[1:]
    return log_prob + float(probs[nodes[(*context, word)], 1])


# ---------------------------------------------------------------- structure


@pytest.mark.parametrize("name", NAMES)
def test_the_trie(name: str) -> None:
    """n-grams by order, each order sorted; `find` and `order_of` know all of them and no other."""
    table, grams = model(name), ngrams(name)
    assert table.vocab_size == V
    assert sum(table.sizes) == len(grams) - 1 == len(table.nodes) - 1
    assert table.nbytes == table.nodes.nbytes + table.contexts.nbytes
    lengths = [len(gram) for gram in grams]
    assert table.order_of(np.arange(len(grams))).tolist() == lengths
    assert table.order == max(lengths) or name == "entropy"
    for k, size in enumerate(table.sizes, start=1):
        of_order = [gram for gram in grams if len(gram) == k]
        assert len(of_order) == size
        assert of_order == sorted(of_order)
    for node, gram in enumerate(grams):
        assert table.find(gram) == node
    rng = np.random.default_rng(0)
    for _ in range(300):
        gram = tuple(rng.integers(0, V, rng.integers(1, table.order + 3)).tolist())
        assert table.find(gram) == (grams.index(gram) if gram in grams else None)


@pytest.mark.parametrize("name", NAMES)
def test_states_are_the_longest_that_matter(name: str) -> None:
    """After an n-gram comes the longest of its endings that has followers, and a context falls
    back on the longest of its shorter ones: no state is without followers but the empty one."""
    table, grams = model(name), ngrams(name)
    has_followers = {
        grams[c]: table.contexts[c + 1, FIRST_FOLLOWER] > table.contexts[c, FIRST_FOLLOWER]
        for c in range(len(table.contexts) - 1)
    }

    def longest(gram: Gram) -> Gram:
        while gram and not has_followers.get(gram, False):
            gram = gram[1:]
        return gram

    for gram, row in zip(grams[1:], table.nodes[1:].tolist(), strict=True):
        assert grams[row[2]] == longest(gram)
    for gram, row in zip(grams[1:], table.contexts[1:-1].tolist(), strict=False):
        assert grams[row[2]] == longest(gram[1:])
    assert grams[table.start] == longest((EOS,))


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_the_definition(name: str) -> None:
    """Every word of a text, known n-grams or not: the score, and the longest n-gram found."""
    table, grams = model(name), ngrams(name)
    ids = np.concatenate([text_of(150, seed=1), np.array([UNK, V - 1, UNK, EOS, EOS], np.uint32)])
    log_probs, found, _ = table.score(ids)
    history = [EOS]
    for word, log_prob, node in zip(ids.tolist(), log_probs, found.tolist(), strict=True):
        assert float(log_prob) == pytest.approx(naive(name, history, word), abs=2e-5)
        assert grams[node] == tuple([*history, word][-len(grams[node]) :])
        assert ((*history, word)[-len(grams[node]) - 1 :] not in grams) or (
            len(grams[node]) == min(table.order, len(history) + 1)
        )
        history = [EOS] if word == EOS else [*history, word]


@pytest.mark.parametrize("name", NAMES)
def test_cut_anywhere_and_carried_on(name: str) -> None:
    """A text read in two goes, cut at any place, scores as in one."""
    table, ids = model(name), text_of(80, seed=1)
    whole = table.score(ids)
    assert table.score(ids, table.start)[2] == whole[2]
    for cut in range(len(ids) + 1):
        one = table.score(ids[:cut])
        two = table.score(ids[cut:], one[2])
        assert np.array_equal(np.concatenate([one[0], two[0]]), whole[0])
        assert np.array_equal(np.concatenate([one[1], two[1]]), whole[1])
        assert two[2] == whole[2]


@pytest.mark.parametrize("name", NAMES)
def test_distributions_are_scores(name: str) -> None:
    """`distribution` after every state is the score of each word alone, in a new array or one
    that is given."""
    table = model(name)
    out = np.full(V, np.nan, np.float32)
    for state in range(len(table.contexts) - 1):
        one_by_one = [table.score(np.array([word]), state)[0][0] for word in range(V)]
        assert table.distribution(state) == pytest.approx(one_by_one, abs=2e-5)
        assert table.distribution(state, out) is out
        assert np.array_equal(out, table.distribution(state))


@pytest.mark.parametrize("name", NAMES)
def test_states_on_the_way(name: str) -> None:
    """`states` and `advance` go where `score` goes."""
    table = model(name)
    rng = np.random.default_rng(0)
    texts = [text_of(80, seed=1), *rng.choice([EOS, 2, 3, 4], (40, 6)).astype(np.uint32)]
    for ids in texts:
        for begin in (0, table.start, len(table.contexts) - 2):
            out = np.full(len(ids) + 1, -1, np.int64)
            table.states(ids, begin, out)
            for at in range(len(ids) + 1):
                assert out[at] == table.advance(ids[:at], begin) == table.score(ids[:at], begin)[2]
    assert table.advance(np.array([EOS], np.uint32), 0) == table.start


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_any_integers(dtype: type) -> None:
    """Ids of any width, contiguous or not."""
    table, ids = model("interpolated"), text_of(80, seed=1)
    expected = table.score(ids)[0]
    assert np.array_equal(table.score(ids.astype(dtype))[0], expected)
    assert np.array_equal(table.score(np.repeat(ids, 2).astype(dtype)[::2])[0], expected)


# ---------------------------------------------------------------- lines


def lines_of(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    """Lines of so many words, some unknown, each with its end."""
    rng = np.random.default_rng(seed)
    words = np.array([UNK, *range(2, V)])
    return [np.array([*rng.choice(words, size), EOS], np.uint32) for size in lengths]


def check_lines(table: Table, lines: list[np.ndarray], workers: int | None) -> None:
    ids = np.concatenate([np.zeros(0, np.uint32), *lines])
    sums, words, unknown = table.score_lines(ids, workers)
    assert sums.dtype == np.float64
    assert words.tolist() == [len(line) for line in lines]
    assert unknown.tolist() == [int((line == UNK).sum()) for line in lines]
    expected = [table.score(line)[0].sum(dtype=np.float64) for line in lines]
    assert sums == pytest.approx(expected, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("workers", [1, 2, None])
@pytest.mark.parametrize("name", NAMES)
def test_lines_side_by_side(name: str, workers: int | None) -> None:
    """Lines of very different lengths, of which short ones end while long ones go on."""
    check_lines(model(name), lines_of([0, 3, 700, 0, 1, 20, 2, 0, 300, 5, 0, 9, 1500, 1]), workers)


@pytest.mark.parametrize("number", range(20))
def test_few_lines(number: int) -> None:
    """Fewer lines than are read side by side, as many, and more."""
    lengths = np.random.default_rng(number).integers(0, 6, number).tolist()
    check_lines(model("interpolated"), lines_of(lengths), 1)


@given(lengths=st.lists(st.integers(0, 30), max_size=40), share=st.integers(1, 50))
def test_any_lines_in_any_shares(lengths: list[int], share: int) -> None:
    """Threads have a few lines each; none is lost, none read twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "_TOKENS", share)
        check_lines(model("back-off"), lines_of(lengths), 2)


LEXICON = Lexicon.of(["<unk>", "<eos>", *"abcdefghij"])


@pytest.mark.parametrize("size", [1, 50, 1 << 17])
@pytest.mark.parametrize("workers", [1, 2])
def test_text_is_scored_as_its_ids(
    workers: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes in pieces of any size, cut between lines: the lines' scores in their order."""
    monkeypatch.setattr(table_module, "_BYTES", size)
    rng = np.random.default_rng(0)
    text = "".join(
        " ".join(rng.choice([*"abcdefghij", "天", "zz"], rng.integers(0, 9))) + "\n"
        for _ in range(100)
    )
    table = model("interpolated")
    for some in (text, "\n" + text, text + "\n\n", "a\n", "\n"):
        got = table.score_text(some.encode(), LEXICON, workers)
        expected = table.score_lines(LEXICON.ids(some), 1)
        assert len(got[0]) == some.count("\n")
        for mine, others in zip(got, expected, strict=True):
            assert np.array_equal(mine, others)


def test_no_text() -> None:
    """Nothing has no lines."""
    table = model("interpolated")
    for got in (table.score_text(b"", LEXICON), table.score_lines(np.zeros(0, np.uint32))):
        assert [len(column) for column in got] == [0, 0, 0]


# ---------------------------------------------------------------- the best


def check_best(table: Table) -> None:
    """The best word is one that no other is more probable than, whatever was asked before."""
    states = np.arange(len(table.contexts) - 1)
    best = table.best(states)
    for state, word in zip(states.tolist(), best.tolist(), strict=True):
        log_probs = table.distribution(state)
        assert log_probs[word] >= log_probs.max() - 1e-5
    backwards = Table(table.nodes, table.contexts, table.offsets)
    assert np.array_equal(backwards.best(states[::-1].copy()), best[::-1])
    assert np.array_equal(backwards.best(states), best)


@pytest.mark.parametrize("name", NAMES)
def test_best(name: str) -> None:
    """After every state of every kind of model."""
    check_best(model(name))


@pytest.mark.parametrize("seed", range(1, 9))
def test_best_of_any_numbers(seed: int) -> None:
    """Also where the best word of the shorter context is less probable by its own n-gram."""
    check_best(disturbed(seed))


def test_best_in_a_tie() -> None:
    """Of equally probable words the first."""
    assert uniform(V).best(np.zeros(3, np.int64)).tolist() == [0, 0, 0]


# ---------------------------------------------------------------- small things


def test_uniform() -> None:
    """Every word has 1/V, after anything, and the state is always the same."""
    table = uniform(V)
    assert (table.order, table.vocab_size, table.start, table.sizes) == (1, V, 0, [V])
    log_probs, found, state = table.score(np.arange(V))
    assert log_probs == pytest.approx(np.full(V, -np.log10(V)))
    assert found.tolist() == list(range(1, V + 1))
    assert state == 0


def test_natural() -> None:
    """log10 → ln in place; what stands for no probability is none, but unknown words have some."""
    values = np.array([0, -1, -2.5, -99, -120, -101], np.float32)
    natural(values, np.array([2, 3, 2, 1, 2, UNK]))
    assert values.tolist() == pytest.approx(
        [0, np.log(0.1), -2.5 * np.log(10), -np.inf, -np.inf, -101 * np.log(10)]
    )
