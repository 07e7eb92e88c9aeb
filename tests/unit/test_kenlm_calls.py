"""The calls that decoders make of the KenLM class, answered by a built-in function: the same as
step by step, and in pyctcdecode the same as KenLM itself."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

import nextword
from benchmarks.kenlm_calls import LABELS, decoder_with, noisy_letters
from nextword.ngram import kenlm
from tests.unit.test_kenlm import REFERENCE, make_sentences, path, random_sentences, the_real_one

FILES = Path(__file__).parents[1] / "fixtures" / "arpa"
BLANKS = ["a\tlook", "look\x0ba\x0c.", "look\x1ca", "look\u3000a", "\n", "a\n\nlook\r"]
MARKED = ["look </s> a", "</s>", "<eos> a", "<s", "</s", "<s> a", "a <s>", "\\<s>", "<unk>", "<>"]
__all__ = ["path"]  # a fixture


def opened(arpa: Path, form: str, folder: Path) -> kenlm.Model:
    """The model of an ARPA file, read from another form."""
    if form == "arpa":
        return kenlm.Model(arpa)
    nextword.export(nextword.load(arpa), form, folder / "model.bin")
    return kenlm.Model(folder / "model.bin")


@pytest.mark.parametrize("form", ["arpa", "kenlm-probing", "kenlm-trie"])
@pytest.mark.parametrize("name", ["small", "order5.arpa.gz", "base.arpa", "no-unk.arpa"])
def test_the_same_as_step_by_step(name: str, form: str, path: Path, tmp_path: Path) -> None:
    """Scores, lengths, unknown words and states, to the bit."""
    place = {"small": path, "order5.arpa.gz": REFERENCE / name}.get(name, FILES / name)
    model = opened(place, form, tmp_path)
    sentences = [*make_sentences(3, 60), *random_sentences(3, 60), *BLANKS, *MARKED]
    answered = 0
    for sentence in sentences:
        for bos in (True, False):
            for eos in (True, False):
                wanted = sum(row[0] for row in model.full_scores(sentence, bos, eos))
                found = model._calls.score(sentence, bos, eos)
                answered += found is not None
                assert model.score(sentence, bos, eos) == wanted
                assert found is None or found == wanted
        states = [kenlm.State() for _ in range(4)]
        model.BeginSentenceWrite(states[0])
        for word in [*sentence.split(), sentence, ""]:
            wanted = model._step(states[0], word, states[1])
            assert model.BaseScore(states[0], word, states[2]) == wanted.log_prob
            assert model.BaseFullScore(states[0], word, states[3]) == wanted
            assert states[1] == states[2] == states[3]
            assert (word in model) == (model._of_word(word.encode()) != 0)
            model.BaseScore(states[0], word, states[0])
            assert states[0] == states[1]
    assert answered > 3 * len(sentences)  # the rest have a `<s>`


@pytest.mark.parametrize("form", ["arpa", "kenlm-probing"])
def test_what_is_no_state_and_no_word(form: str, path: Path, tmp_path: Path) -> None:
    """One exception, and no state is changed."""
    model, state, other = opened(path, form, tmp_path), kenlm.State(), kenlm.State()
    model.BaseScore(state, "look", state)
    kept = state.node
    for ask in (model.BaseScore, model.BaseFullScore):
        for node in (10**6, -1, 10**30):
            other.node = node
            with pytest.raises(ValueError, match="is not one of this model"):
                ask(other, "look", state)
            with pytest.raises(ValueError, match="is not one of this model"):
                model.distribution(other)
        with pytest.raises(AttributeError):
            ask(None, "look", state)  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            ask(state, "look", None)  # type: ignore[arg-type]
        with pytest.raises((TypeError, AttributeError)):
            ask(state, 3, state)  # type: ignore[arg-type]
        with pytest.raises(UnicodeEncodeError):
            ask(state, "\ud800", state)
    with pytest.raises(UnicodeEncodeError):
        model.score("look \ud800")
    assert state.node == kept
    assert model.score(b"look a") == model.score("look a")
    assert b"look" in model and b"none" not in model


def test_nothing_is_kept(path: Path) -> None:
    """Objects that are asked about are released: their references are counted right."""
    model, state, word, line = kenlm.Model(path), kenlm.State(), "lo" + "ok", "look a <s> zebra"
    state.node = 10**6
    other = kenlm.State()

    def counts() -> list[int]:
        return [sys.getrefcount(it) for it in (state, other, word, line, state.node, None, True)]

    before = counts()
    for _ in range(1000):
        model._calls.score(line, True, True)
        model._calls.base_score(state, word, other)
        model._calls.base_score(other, word, other)
        model._calls.base_full_score(other, word, other)
        model._calls.base_score(None, word, other)
        model._calls.contains(word)
    assert max(abs(a - b) for a, b in zip(before, counts(), strict=True)) < 100


def test_pyctcdecode(path: Path) -> None:
    """It runs unchanged with our module in the place of KenLM's, and hears the same words."""
    pytest.importorskip("pyctcdecode")
    theirs = the_real_one()
    draw = random.Random(5)
    words = ["look", "a", "model", "lock", "mode"]
    texts = [" ".join(draw.choices(words, k=4)) for _ in range(4)]
    heard = [noisy_letters(text, 1.5, seed) for seed, text in enumerate(texts)]
    said: list[Any] = []
    for module in (theirs, kenlm):
        with decoder_with(module) as package:
            decoder = package.build_ctcdecoder(LABELS, str(path))
            assert isinstance(
                decoder.model_container[decoder._model_key]._kenlm_model, module.Model
            )
            said.append([decoder.decode_beams(frames, beam_width=20) for frames in heard])
    for mine, their in zip(said[1], said[0], strict=True):
        assert [beam[0] for beam in mine] == [beam[0] for beam in their]
        assert [beam[-1] for beam in mine] == pytest.approx([beam[-1] for beam in their], abs=1e-4)
