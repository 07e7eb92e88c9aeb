"""Text from a model that fills masks, against the same by hand and against exact probabilities."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nextword
from nextword.config import parse_section
from nextword.errors import InputError
from nextword.generation.masked import (
    MaskedDecoding,
    generate_masked,
    gibbs,
    mask_predict,
)
from nextword.generation.sample import Sampling
from nextword.models.bert import BertConfig
from nextword.text.tokenizer import EOS
from nextword.text.wordpiece import CLS, MARKS, MASK
from tests.support import Cli, scatter

BERT = Path(__file__).parent.parent / "fixtures" / "earlier_runs" / "bert"
FIRST = len(MARKS)


def model(words: int = 7) -> Any:
    torch.manual_seed(0)
    config = BertConfig(hidden=8, heads=2, layers=2, context=16)
    return scatter(config.build(FIRST + words)).eval()


def words_at(made: Any, ids: list[int], place: int) -> Tensor:
    """The distribution over words at one place of a text, by a call of its own."""
    hidden = made(torch.tensor([ids]))[0, place : place + 1]
    return made.logits(hidden)[0, FIRST:].softmax(-1)


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_mask_predict_is_its_algorithm(count: int, steps: int) -> None:
    """Everything is predicted once, then at each step the n = N (T - t) / T least certain words."""
    made = model()
    ids = [CLS, FIRST + 2, *[MASK] * count, EOS]
    places = list(range(2, 2 + count))
    text, certainty = list(ids), dict.fromkeys(places, 0.0)
    for step in range(steps):
        masked = sorted(places, key=lambda place: certainty[place])
        masked = masked[: count * (steps - step) // steps]
        for place in masked:
            text[place] = MASK
        found = {place: words_at(made, text, place) for place in masked}
        for place, words in found.items():
            text[place] = FIRST + int(words.argmax())
            certainty[place] = float(words.max())
    got = mask_predict(made, torch.tensor(ids), torch.tensor(places), steps)
    assert got.tolist() == text
    assert MASK not in text


@torch.no_grad()
def test_gibbs_draws_from_the_conditionals() -> None:
    """Two places, three words: long chains visit pairs as often as the stationary distribution of
    the chain says, which is computed exactly."""
    made, size = model(words=3), 3
    pairs = list(product(range(size), repeat=2))
    move = np.zeros((size**2, size**2))
    for row, (a, b) in enumerate(pairs):
        first = words_at(made, [CLS, MASK, FIRST + b, EOS], 1).numpy()
        second = words_at(made, [CLS, FIRST + a, MASK, EOS], 2).numpy()
        for word in range(size):
            move[row, pairs.index((word, b))] += first[word] / 2
            move[row, pairs.index((a, word))] += second[word] / 2
    expected = np.linalg.matrix_power(move, 200)[0]
    generator = torch.Generator().manual_seed(1)
    ids, places = torch.tensor([CLS, MASK, MASK, EOS]), torch.tensor([1, 2])
    count = 400
    seen = Counter(
        tuple((gibbs(made, ids, places, 6, Sampling(), generator)[1:3] - FIRST).tolist())
        for _ in range(count)
    )
    frequencies = np.array([seen[pair] / count for pair in pairs])
    assert np.abs(frequencies - expected).max() < 4 * (0.25 / count) ** 0.5


def test_every_token_is_a_word() -> None:
    """No mark is written, by either way, whatever the model thinks of marks."""
    made = model()
    with torch.no_grad():
        made.head.b[:FIRST] += 100
    ids, places = torch.tensor([CLS, *[MASK] * 6, EOS]), torch.arange(1, 7)
    for got in (
        mask_predict(made, ids, places, 4),
        gibbs(made, ids, places, 1, Sampling(temperature=5.0)),
    ):
        assert (got[places] >= FIRST).all()
        assert got[0] == CLS and got[-1] == EOS
    assert ids[places].eq(MASK).all()  # what was given is left alone


@pytest.mark.parametrize("method", ["mask-predict", "gibbs"])
def test_generate_continues_a_prompt(method: str, cli: Cli) -> None:
    """The command prints the prompt and what the function gives; `--stop` cuts."""
    run = nextword.load(BERT)
    decoding = MaskedDecoding(method=method, steps=3)
    seed = 4 if method == "gibbs" else None
    text = generate_masked(run, "the cat", tokens=6, decoding=decoding, seed=seed)
    assert text.strip()
    more = ["--seed", 4] if seed else []
    arguments = ["generate", BERT, "--prompt", "the cat", "--tokens", 6, "--steps", 3]
    status, out, err = cli(*arguments, "--method", method, *more)
    assert (status, out, err) == (0, f"the cat{text}\n", "")
    stop = text.split()[-1]
    cut = generate_masked(run, "the cat", tokens=6, decoding=decoding, seed=seed, stop=[stop])
    assert cut == text[: text.index(stop)]
    assert generate_masked(run, "the cat", tokens=0, decoding=decoding) == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--beam", 2], "leave out --beam"),
        (["--samples", 2], "leave out --samples"),
        (["--temperature", 0.5], "leave out --temperature"),
        (["--seed", 1], "leave out --seed"),
        (["--top-k", 3], "leave out --top-k"),
        (["--method", "sampling"], "mask-predict"),
        (["--steps", 0], "steps"),
        (["--tokens", 5000], "context of"),
    ],
)
def test_what_does_not_fit_is_refused(options: list[object], says: str, cli: Cli) -> None:
    status, out, err = cli("generate", BERT, "--prompt", "the", "--tokens", 3, *options)
    assert status == 2 and not out
    assert says in err and len(err.splitlines()) == 1


def test_other_models_have_no_method(cli: Cli) -> None:
    status, _, err = cli("generate", BERT.parent / "lstm", "--method", "gibbs")
    assert status == 2 and "left to right: leave out --method" in err
    with pytest.raises(InputError, match="fill gaps"):
        generate_masked(nextword.load(BERT.parent / "lstm"), "a")
    with pytest.raises(InputError, match="steps"):
        parse_section(MaskedDecoding, {"steps": 0}, "generate")
