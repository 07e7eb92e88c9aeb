"""What a text that is searched or drawn may contain: against counting everything out."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import nextword
from nextword.errors import InputError
from nextword.generation import filters
from nextword.generation.beam import beam_search
from nextword.generation.decoding import Decoding
from nextword.generation.infill import gap_filler
from nextword.generation.sample import sample_ids
from nextword.generation.sampling import Sampling
from nextword.generation.translate import attention, translate_lines
from nextword.generation.unknown_words import replace_unknown, surfaces
from nextword.text.tokenizer import EOS, UNK
from nextword.text.wordpiece import CLS, MARKS, MASK
from tests.support import Cli
from tests.unit.test_beam import MODELS, begin, log_prob, ranked, scatter
from tests.unit.test_translate import make

FOLDER = Path(__file__).parent.parent / "fixtures" / "earlier_runs"


def repeats(ids: list[int], size: int) -> bool:
    """Whether an n-gram occurs twice."""
    grams = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    return len(set(grams)) < len(grams)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", ["recurrent", "transformer"])
def test_no_repeat_against_all_outputs(name: str, size: int) -> None:
    """A beam as wide as everything finds all outputs without a repetition, best first."""
    words, limit = 4, 4
    model = scatter(MODELS[name](words), seed=3)
    everything = ranked(name, model, limit, EOS, 0.6, words)
    wanted = [(ids, ended) for _, ids, ended in everything if not repeats(ids, size)]
    last, state = begin(name, model)
    (found,) = beam_search(
        model, last, state, [limit], beam=400, alpha=0.6, n_best=900, end=EOS, allow_unk=True,
        no_repeat=size,
    )  # fmt: skip
    assert len(wanted) < len(everything)
    assert [(h.ids, h.ended) for h in found] == wanted


@pytest.mark.parametrize("prefix", [[2], [3, 2], [UNK, 3], [2, 2]])
@pytest.mark.parametrize("name", ["recurrent", "seq2seq", "transformer"])
def test_a_prefix_against_all_outputs(name: str, prefix: list[int]) -> None:
    """All outputs that begin so, with the probability that `score` gives them."""
    words, limit = 4, 4
    model = scatter(MODELS[name](words), seed=5)
    wanted = [
        (ids, ended)
        for _, ids, ended in ranked(name, model, limit, EOS, 0.6, words)
        if ids[: len(prefix)] == prefix and UNK not in ids[len(prefix) :]
    ]
    last, state = begin(name, model)
    (found,) = beam_search(
        model, last, state, [limit], beam=400, alpha=0.6, n_best=900, end=EOS, prefix=prefix
    )
    assert [(h.ids, h.ended) for h in found] == wanted
    for one in found[:3]:
        whole = [*one.ids, EOS] if one.ended else one.ids
        assert one.log_prob == pytest.approx(log_prob(name, model, whole), abs=1e-5)


def test_repeated_by_hand() -> None:
    written = torch.tensor([[1, 2, 1], [2, 2, 2], [1, 2, 3]])
    assert filters.repeated(written, 1, 4).tolist()[0] == [False, True, True, False]
    found = filters.repeated(written, 2, 4)
    assert [row.nonzero().flatten().tolist() for row in found] == [[2], [2], []]
    assert not filters.repeated(written, 3, 4)[[0, 2]].any()
    assert not filters.repeated(written, 5, 4).any()


@pytest.mark.parametrize("model", ["seq2seq", "transformer"])
def test_translations_begin_with_the_prefix(model: str) -> None:
    """Each of them, whatever the batch, and without it they are as before."""
    run = make(model, 1, 1.0)
    sources = ["the cat sat", "", "a big red dog", "the"]
    how = Decoding(prefix="die katze", n_best=3)
    for done, source in zip(translate_lines(run, sources, how), sources, strict=True):
        assert all(one.text.startswith("die katze") for one in done.best)
        assert len(done.best) == (3 if source else 0)
    assert nextword.translate(run, sources, Decoding(prefix="")) == nextword.translate(run, sources)
    for done in translate_lines(run, sources, Decoding(no_repeat=1, n_best=4)):
        assert all(len(set(one.text.split())) == len(one.text.split()) for one in done.best)
    for setting in ({"prefix": "die"}, {"no_repeat": 2}, {"replace_unk": True}):
        with pytest.raises(InputError, match="beam search"):
            Decoding(sample=nextword.Sampling(), **setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["seq2seq", "transformer"])
def test_unknown_words_come_from_the_source(model: str) -> None:
    """Token by token: <unk> becomes the source word of the largest weight."""
    run = make(model, 3, 1.0)
    run.model.head.b.data[UNK] = 4.0  # type: ignore[attr-defined]
    source = "the Zanzibar cat 1984 sat"
    (done,) = translate_lines(run, [source], Decoding(replace_unk=True, extra=5, ratio=1))
    words = ["the", "Zanzibar", "cat", "1984", "sat"]
    assert "<unk>" not in done.text and set(done.text.split()) <= {
        *words,
        *run.tokenizer.vocabulary,
    }  # type: ignore[attr-defined]
    (plain,) = nextword.translate(run, [source])
    assert "<unk>" not in plain
    seen = attention(run, source, "die <unk> rot <unk>")
    ids = run.tokenizer.encode("die <unk> rot <unk>")
    wanted = []
    for step, index in enumerate(ids):
        best = max(range(len(words)), key=lambda place: float(seen.mean()[step, place]))
        wanted.append(words[best] if index == UNK else run.tokenizer.token(index))
    assert run.source is not None
    read = [*run.source.encode(source), EOS]
    assert surfaces(run.source, source, read)[:-1] == words
    made = replace_unknown(run.tokenizer, ids, seen.mean(), surfaces(run.source, source, read))
    assert made == " ".join(wanted)


def test_without_attention_there_is_nothing_to_copy_from() -> None:
    run = make("seq2seq", 3, 1.0, attention="none")
    run.model.head.b.data[UNK] = 9.0  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="has no attention"):
        nextword.translate(run, ["the cat"], Decoding(replace_unk=True))


def test_the_verb(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one two\n\nthree\n", encoding="utf-8")
    run = FOLDER / "transformer"
    call = ("translate", run, tmp_path / "lines.txt")
    loaded = nextword.load(run)
    begin = loaded.tokenizer.token(4)
    status, out, err = cli(*call, "--prefix", begin, "--no-repeat", 2)
    how = Decoding(prefix=begin, no_repeat=2)
    assert status == 0, err
    assert out.split("\n")[:-1] == nextword.translate(loaded, ["one two", "", "three"], how)
    assert out.startswith(begin)
    assert cli(*call, "--sample", "--prefix", "x")[0] == 2
    assert cli(*call, "--no-repeat", 0)[0] == 2
    assert cli(*call, "--prefix", f"{begin} " * 500)[0] == 2


# ------------------------------------------------------------------------------ repetition penalty


def slow_choice(log_probs: list[float], has: set[int], penalty: float) -> list[float]:
    """The formula, token by token, normalised."""
    powered = [
        p * (penalty if i in has and i != EOS else 1.0) if i != UNK else -math.inf
        for i, p in enumerate(log_probs)
    ]
    total = sum(math.exp(p) for p in powered)
    return [math.exp(p) / total for p in powered]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {}, {"top_k": 4}])
@pytest.mark.parametrize("name", ["recurrent", "transformer-lm"])
def test_repetition_penalty_against_the_formula(name: str, settings: dict[str, float]) -> None:
    """Step by step, each text read anew, with the seen tokens of the prompt and of what came."""
    model = scatter(MODELS[name](9), seed=2)
    prompt = [EOS, 3, 4]
    sampling = Sampling(repetition_penalty=1.7, **settings)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(5)
    drawn = sample_ids(model, torch.tensor([prompt]), model.start(1), sampling, generator)
    found = [int(next(drawn)) for _ in range(12)]
    generator = torch.Generator().manual_seed(5)
    written = list(prompt)
    for index in found:
        with torch.no_grad():
            logits = model.forward(torch.tensor([written]), model.start(1)).logits[0, -1]
        chances = slow_choice(logits.float().log_softmax(-1).tolist(), set(written), 1.7)
        if "temperature" in settings:
            wanted = max(range(9), key=chances.__getitem__)
        else:
            best = sorted(chances)[-settings.get("top_k", 9)]
            kept = torch.tensor([[p if p >= best else 0.0 for p in chances]], dtype=torch.float32)
            wanted = int(torch.multinomial(kept, 1, generator=generator))
        assert index == wanted
        written.append(index)


def test_repetition_penalty_of_a_batch_and_of_one(cli: Cli) -> None:
    """A text is the same beside others; a large penalty repeats nothing while it can; 1 is none."""
    run = nextword.load(FOLDER / "lstm")
    prompts = ["the", "of the", "a"]
    together = nextword.generate_many(run, prompts, tokens=9, repetition_penalty=1.5, seed=2)
    for i, prompt in enumerate(prompts):
        alone = nextword.generate(run, prompt, tokens=9, repetition_penalty=1.5, seed=2 + i)
        assert alone == together[i]
    none = nextword.generate(run, "the", tokens=30, seed=1)
    assert nextword.generate(run, "the", tokens=30, seed=1, repetition_penalty=1.0) == none
    assert nextword.generate(run, "the", tokens=30, seed=1, repetition_penalty=3.0) != none
    for wrong in (0.5, math.inf, math.nan):
        with pytest.raises(InputError, match="repetition_penalty"):
            nextword.generate(run, "the", repetition_penalty=wrong)
    status, _, err = cli(
        "generate", FOLDER / "bert", "--method", "gibbs", "--tokens", 3, "--repetition-penalty", 2
    )
    assert status == 2 and "left to right" in err
    out = cli(
        "generate", FOLDER / "lstm", "--prompt", "the", "--tokens", 9, "--seed", 2,
        "--repetition-penalty", 1.5,
    )[1]  # fmt: skip
    assert out == f"the{together[0]}\n"


# ------------------------------------------------------------------------------------------- gaps


@pytest.fixture(scope="module")
def bert() -> nextword.Run:
    return nextword.load(FOLDER / "bert")


def whole_words(run: nextword.Run, count: int) -> list[int]:
    """The ids of some words that are one token, not in the order of the vocabulary."""
    found = [i for i in range(5, 70) if run.tokenizer.encode(run.tokenizer.token(i)) == [i]]
    assert len(found) >= count
    return found[:count][::-1]


def slow_log_probs(run: nextword.Run, ids: list[int], place: int) -> list[float]:
    """log p of every word at a place, marks left out."""
    model = gap_filler(run)
    with torch.no_grad():
        logits = model.logits(model(torch.tensor([ids])))[0, place].tolist()
    total = math.log(sum(math.exp(x) for x in logits[len(MARKS) :]))
    return [-math.inf] * len(MARKS) + [x - total for x in logits[len(MARKS) :]]


def test_candidates_against_the_whole_vocabulary(bert: nextword.Run, cli: Cli) -> None:
    """The probabilities that the words have among all, and their order."""
    text = "the [MASK] of"
    words = [bert.tokenizer.token(i) for i in whole_words(bert, 4)]
    everything = {f.word: f.probability for f in nextword.fill(bert, text, 10_000).gaps[0]}
    (found,) = nextword.fill(bert, text, candidates=words).gaps
    wanted = sorted(words, key=lambda word: -everything[word])
    assert [f.word for f in found] == wanted
    assert [f.probability for f in found] == pytest.approx([everything[w] for w in wanted])
    assert nextword.fill(bert, text, 2, candidates=words).gaps[0] == found[:2]
    call = ("fill", FOLDER / "bert", text, "--json", "--targets", ",".join(words[:3]))
    said = json.loads(cli(*call, "--targets", words[3])[1])
    assert [one["word"] for one in said["gaps"][0]] == wanted and "joint" not in said
    for wrong in (["qqqzz xx"], [], ["[MASK]"], [""]):
        with pytest.raises(InputError, match="candidate"):
            nextword.fill(bert, text, candidates=wrong)


def test_joint_filling_against_all_pairs(bert: nextword.Run) -> None:
    """Two gaps, few candidates: every pair is tried, the second word given the first."""
    text = "the [MASK] of [MASK]"
    some = whole_words(bert, 8)
    words = [bert.tokenizer.token(i) for i in some]
    found = nextword.fill(bert, text, 64, candidates=words, joint=True)
    ids = [CLS, *bert.tokenizer.encode("the"), MASK, *bert.tokenizer.encode("of"), MASK, EOS]
    first, second = (place for place, index in enumerate(ids) if index == MASK)
    wanted = []
    for a in some:
        filled = [*ids[:first], a, *ids[first + 1 :]]
        for b in some:
            score = slow_log_probs(bert, ids, first)[a] + slow_log_probs(bert, filled, second)[b]
            wanted.append((score, [bert.tokenizer.token(a), bert.tokenizer.token(b)]))
    wanted.sort(reverse=True)
    assert found.joint is not None
    assert [one.words for one in found.joint] == [pair for _, pair in wanted]
    assert [one.log_prob for one in found.joint] == pytest.approx([s for s, _ in wanted], abs=1e-4)
    assert found.best == found.filled(wanted[0][1])
    alone = nextword.fill(bert, text, 64, candidates=words)
    assert alone.gaps == found.gaps and alone.joint is None
    with pytest.raises(InputError, match="leave joint out"):
        nextword.fill(bert, "the [MASK] of", joint=True)


def test_the_verb_fills_jointly(bert: nextword.Run, cli: Cli) -> None:
    text = "the [MASK] of [MASK]"
    status, out, _ = cli("fill", FOLDER / "bert", text, "--joint", "--top", 3)
    found = nextword.fill(bert, text, 3, joint=True)
    assert status == 0 and found.joint is not None
    assert [line.split("  ")[-1] for line in out.splitlines()] == [
        found.filled(one.words) for one in found.joint
    ]
