"""KenLM's Python class, answered by our tables: what its users do works, with the same numbers."""

from __future__ import annotations

import copy
import math
import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nextword.ngram import file as files
from nextword.ngram import kenlm
from nextword.ngram.estimate import estimate
from nextword.ngram.settings import NgramSettings
from nextword.text.vocabulary_builder import VocabularyBuilder

REFERENCE = Path(__file__).parents[1] / "reference" / "lmplz"

ARPA = """\\data\\
ngram 1=8
ngram 2=7
ngram 3=3

\\1-grams:
-1.5\t<unk>\t0
0\t<s>\t-0.5
-0.75\t</s>\t0
-0.5\tlook\t-0.25
-0.875\ta\t-0.125
-1.25\tmodel\t-0.375
-1.75\t中文\t0
-0.625\t.\t-0.0625

\\2-grams:
-0.25\t<s> look\t-0.03125
-0.375\tlook a\t-0.3125
-0.125\ta model\t-0.1875
-1.125\tmodel .\t0
-0.1875\t. </s>\t0
-0.4375\tmodel </s>\t0
-0.5625\ta look\t0

\\3-grams:
-0.0625\t<s> look a
-0.15625\tlook a model
-0.28125\ta model .

\\end\\
"""
#: log10 p and length of the n-gram of each word and of the end, worked out by hand
SENTENCES: dict[str, tuple[list[float], list[int]]] = {
    "look a model .": ([-0.25, -0.0625, -0.15625, -0.28125, -0.1875], [2, 3, 3, 3, 2]),
    "": ([-0.5 - 0.75], [1]),
    "a": ([-0.5 - 0.875, -0.125 - 0.75], [1, 1]),
    "look model": ([-0.25, -0.03125 - 0.25 - 1.25, -0.4375], [2, 1, 2]),
    "zebra a model": ([-0.5 - 1.5, -0.875, -0.125, -0.1875 - 0.4375], [1, 1, 2, 2]),
    "look a 中文 .": (
        [-0.25, -0.0625, -0.3125 - 0.125 - 1.75, -0.625, -0.1875],
        [2, 3, 1, 1, 2],
    ),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kenlm") / "small.arpa"
    place.write_text(ARPA, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def model(path: Path) -> kenlm.Model:
    return kenlm.Model(str(path))


def chain(model: kenlm.Model, state: kenlm.State, words: list[str]) -> Iterator[float]:
    """The score of each word in turn, two states taking each other's place."""
    after = kenlm.State()
    for word in words:
        yield model.BaseScore(state, word, after)
        state, after = after, state


# ---------------------------------------------------------------- sentences


def test_order(model: kenlm.Model, tmp_path: Path) -> None:
    """The longest n-gram's words."""
    assert model.order == 3
    one = tmp_path / "one.arpa"
    one.write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\ta\n\n\\end\\\n")
    assert kenlm.Model(str(one)).order == 1


@pytest.mark.parametrize("sentence", SENTENCES)
def test_scores(sentence: str, model: kenlm.Model) -> None:
    """Each word's log10 p, n-gram length and being unknown; a sentence's score is their sum."""
    wanted, lengths = SENTENCES[sentence]
    found = list(model.full_scores(sentence))
    assert [log_prob for log_prob, _, _ in found] == pytest.approx(wanted)
    assert [length for _, length, _ in found] == lengths
    words = [*sentence.split(), "</s>"]
    assert [oov for _, _, oov in found] == [word == "zebra" for word in words]
    assert model.score(sentence) == pytest.approx(sum(wanted))
    assert all(
        type(value) is kind for value, kind in zip(found[0], (float, int, bool), strict=True)
    )


def test_without_beginning_or_end(model: kenlm.Model) -> None:
    """`bos=False` begins after nothing, `eos=False` leaves the end of the line out."""
    words = "a model ."
    assert model.score(words, bos=False) == pytest.approx(-0.875 - 0.125 - 0.28125 - 0.1875)
    assert model.score(words, eos=False) == pytest.approx(-0.5 - 0.875 - 0.125 - 0.28125)
    assert model.score(words, bos=False, eos=False) == pytest.approx(-0.875 - 0.125 - 0.28125)
    assert model.score("", eos=False) == 0
    assert model.score("", bos=False) == -0.75
    for bos in (True, False):
        for eos in (True, False):
            parts = list(model.full_scores(words, bos=bos, eos=eos))
            assert len(parts) == 3 + eos
            assert model.score(words, bos, eos) == pytest.approx(sum(part[0] for part in parts))


def test_which_words_are_unknown(model: kenlm.Model) -> None:
    """`in` says whether a word has a probability of its own."""
    assert "look" in model and "中文" in model and b"model" in model and "</s>" in model
    assert "Look" not in model and "" not in model and "look a" not in model
    assert "中" not in model and "<unk>" not in model
    found = [oov for _, _, oov in model.full_scores("look zebra <unk> 中文")]
    assert found == [False, True, True, False, False]


def test_bytes_are_text(model: kenlm.Model) -> None:
    """Strings and their UTF-8 mean the same."""
    sentence = "look a 中文 zebra ."
    raw = sentence.encode("utf-8")
    assert model.score(raw) == model.score(sentence)
    assert model.perplexity(raw) == model.perplexity(sentence)
    assert list(model.full_scores(raw)) == list(model.full_scores(sentence))
    assert model.BaseScore(kenlm.State(), "中文", kenlm.State()) == -1.75


def test_any_white_space_parts_words(model: kenlm.Model) -> None:
    assert model.score("  look\ta \n model . ") == model.score("look a model .")


def test_perplexity(model: kenlm.Model) -> None:
    """10 to the power of minus the score per word, the end being one."""
    sentence = "look a model ."
    wanted = 10 ** ((0.25 + 0.0625 + 0.15625 + 0.28125 + 0.1875) / 5)
    assert model.perplexity(sentence) == pytest.approx(wanted)
    assert model.perplexity("") == pytest.approx(10 ** (0.5 + 0.75))


# ---------------------------------------------------------------- states


def test_words_one_by_one(model: kenlm.Model) -> None:
    """From the beginning, word by word and `</s>` last: the sentence's score."""
    for sentence, (wanted, _) in SENTENCES.items():
        state = kenlm.State()
        model.BeginSentenceWrite(state)
        assert list(chain(model, state, [*sentence.split(), "</s>"])) == pytest.approx(wanted)
        model.NullContextWrite(state)
        total = sum(chain(model, state, sentence.split()))
        assert total == pytest.approx(model.score(sentence, bos=False, eos=False))


def test_the_out_state_alone_is_written(model: kenlm.Model) -> None:
    """Asking changes nothing of the state that is asked; the two may be one object."""
    before, after = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(before)
    kept = copy.copy(before)
    for _ in range(2):
        assert model.BaseScore(before, "look", after) == -0.25
        assert before == kept
    assert after != before
    assert model.BaseScore(before, "look", before) == -0.25
    assert before == after
    assert model.BaseScore(after, "a", after) == -0.0625


def test_full_scores_of_states(model: kenlm.Model) -> None:
    """With the n-gram's length and whether the word is unknown, by name."""
    state, after = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    found = model.BaseFullScore(state, "look", after)
    assert (found.log_prob, found.ngram_length, found.oov) == (-0.25, 2, False)
    found = model.BaseFullScore(after, "zebra", state)
    assert (found.log_prob, found.ngram_length, found.oov) == (-0.03125 - 0.25 - 1.5, 1, True)
    found = model.BaseFullScore(state, "</s>", after)
    assert (found.log_prob, found.ngram_length, found.oov) == (-0.75, 1, False)


def test_states_compare(model: kenlm.Model) -> None:
    """Equal where what follows is equally probable; ordered, hashed and copied by value."""
    states = []
    for words in (["zebra", "look"], ["look"], ["look", "a"], ["a"], []):
        state = kenlm.State()
        model.NullContextWrite(state)
        for word in words:
            model.BaseScore(state, word, state)
        states.append(state)
    one, same, longer, other, empty = states
    assert one == same and hash(one) == hash(same) and (one != same) is False
    assert len({one, same, longer, other, empty}) == 4
    assert longer != other and one != "look"
    for a in states:
        for b in states:
            assert (a < b) + (a == b) + (a > b) == 1
            assert (a <= b) == (a < b or a == b) and (a >= b) == (b <= a)
    for copied in (copy.copy(longer), copy.deepcopy(longer), copy.deepcopy([longer])[0]):
        assert copied == longer and copied is not longer and hash(copied) == hash(longer)
        model.NullContextWrite(copied)
        assert copied != longer and copied == empty
    begun = kenlm.State()
    model.BeginSentenceWrite(begun)
    assert begun != empty and kenlm.State() == empty


def test_distribution(model: kenlm.Model) -> None:
    """Every word's log10 p after a state is what asking for that word gives."""
    state, after = kenlm.State(), kenlm.State()
    model.BeginSentenceWrite(state)
    for word in ("look", "a", "zebra", "model"):
        found = model.distribution(state)
        assert found.shape == (len(model.lexicon),)
        for index, name in enumerate(model.lexicon.words()):
            asked = "</s>" if name == "<eos>" else name
            assert found[index] == pytest.approx(model.BaseScore(state, asked, after))
        model.BaseScore(state, word, state)


# ---------------------------------------------------------------- many sentences


def random_sentences(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    words = ["look", "a", "model", ".", "中文", "zebra", "naïve", "𝄞", "<unk>"]
    return [" ".join(draw.choices(words, k=draw.choice([0, 1, 2, 5, 20]))) for _ in range(count)]


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_many_sentences(
    workers: int | None, model: kenlm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once or one by one, by one thread or several, in one batch or many: the same."""
    sentences = random_sentences(0, 300)
    assert "" in sentences
    one_by_one = [model.score(sentence) for sentence in sentences]
    for batch in (1 << 15, 300, 299, 7, 1):
        monkeypatch.setattr(kenlm, "_MANY", batch)
        found = model.score_many(sentences, workers)
        assert found.dtype == np.float64
        assert found.tolist() == pytest.approx(one_by_one, abs=1e-6)
    assert model.score_many(iter(sentences), workers).tolist() == found.tolist()


def test_many_words(model: kenlm.Model) -> None:
    """Texts of megabytes are cut into pieces at line ends."""
    sentences = [" ".join(["look a model . 中文"] * 20_000), "look", *random_sentences(1, 3000)] * 3
    found = model.score_many(sentences, 2)
    wanted = {sentence: model.score(sentence) for sentence in set(sentences)}
    assert found.tolist() == pytest.approx([wanted[s] for s in sentences], rel=1e-6, abs=1e-6)


def test_no_sentences(model: kenlm.Model) -> None:
    """Nothing has no scores; an empty sentence has one."""
    assert model.score_many([]).shape == (0,)
    assert model.score_many([""]).tolist() == [-1.25]
    assert model.score_many(["", "", ""]).tolist() == [-1.25] * 3


@pytest.mark.parametrize("sentences", [["a\nb"], ["a", "\nb"], ["", "\n\n"]])
def test_a_sentence_is_a_line(sentences: list[str], model: kenlm.Model) -> None:
    """A line end within a sentence would shift the scores of all that follow; it is refused."""
    with pytest.raises(ValueError, match="line end"):
        model.score_many(sentences)


# ---------------------------------------------------------------- models


def test_pickling(model: kenlm.Model) -> None:
    """A model is pickled as its path, and opened again there."""
    raw = pickle.dumps(model)
    assert len(raw) < 1000
    again = pickle.loads(raw)
    assert type(again) is kenlm.Model
    assert again.score("look a zebra") == model.score("look a zebra")
    assert pickle.loads(pickle.dumps(again)).path == model.path


def test_paths(path: Path, model: kenlm.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings, bytes and Path objects; what is kept is absolute."""
    monkeypatch.chdir(path.parent)
    for given in (path, str(path), os.fsencode(path), path.name):
        opened = kenlm.Model(given)
        assert opened.path == os.fsencode(path)
        assert opened.score("look") == model.score("look")
    assert model.path == os.fsencode(path)


def test_other_names(path: Path, model: kenlm.Model) -> None:
    """KenLM's options are accepted and change nothing; its older name is the same class."""
    config = kenlm.Config()
    config.load_method = kenlm.LoadMethod.POPULATE_OR_READ
    config.show_progress = True
    config.arpa_complain = kenlm.ARPALoadComplain.ALL
    for opened in (kenlm.Model(str(path), config), kenlm.LanguageModel(str(path))):
        assert isinstance(opened, kenlm.Model)
        assert opened.score("look a model .") == model.score("look a model .")


def test_repr(model: kenlm.Model) -> None:
    """The file's name, not all of its path."""
    assert repr(model) == "<Model from small.arpa>"


def test_a_run_directory(tmp_path: Path) -> None:
    """The table of a run is opened where it lies."""
    builder = VocabularyBuilder()
    ids = builder.add("look a model .\nlook 中文 .\n" * 3)
    lexicon, renumber = builder.finish()
    table = estimate(renumber[ids], len(lexicon), NgramSettings(order=3)).table
    files.write(tmp_path / "model.safetensors", table, lexicon, {})
    opened = kenlm.Model(tmp_path)
    assert opened.order == 3 and "中文" in opened
    wanted = table.score(lexicon.ids("look a zebra\n"))[0].sum()
    assert opened.score("look a zebra") == pytest.approx(float(wanted))


@pytest.mark.parametrize("name", ["nowhere.arpa", "cut.arpa", "junk.bin", "", "empty", "folder"])
def test_what_cannot_be_opened(name: str, tmp_path: Path) -> None:
    """A path that is missing or holds no model is an OSError with the path, as in KenLM."""
    (tmp_path / "cut.arpa").write_text(ARPA[:300], encoding="utf-8")
    (tmp_path / "junk.bin").write_bytes(random.Random(0).randbytes(3000))
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="Cannot read model") as caught:
        kenlm.Model(str(tmp_path / name))
    assert str(tmp_path / name) in str(caught.value)


# ---------------------------------------------------------------- beside KenLM itself


def the_real_one() -> Any:
    """KenLM's own module, if it is installed (and not a mere folder of this name)."""
    module = pytest.importorskip("kenlm")
    if not hasattr(module, "Model"):
        pytest.skip("KenLM is not installed")
    return module


def make_sentences(seed: int, count: int) -> list[str]:
    """Sentences of the held-out text with words exchanged, doubled and made up."""
    draw = random.Random(seed)
    text = (REFERENCE / "heldout.txt").read_text(encoding="utf-8")
    lines, words = text.splitlines(), [*text.split(), "zebrafish", "中文"]
    made = []
    for _ in range(count):
        line = draw.choice(lines).split()
        for _ in range(draw.randrange(4)):
            line.insert(draw.randrange(len(line) + 1), draw.choice(words))
        made.append(" ".join(line[: draw.randint(0, 30)]))
    return ["", *made]


@pytest.mark.parametrize("name", ["small", "order5.arpa.gz", "order3-prune001.arpa.gz"])
def test_the_same_answers_as_kenlm(name: str, path: Path) -> None:
    """Scores, n-gram lengths, unknown words, perplexities and chains of states."""
    theirs = the_real_one()
    place = path if name == "small" else REFERENCE / name
    other, model = theirs.Model(str(place)), kenlm.Model(place)
    assert other.order == model.order
    sentences = random_sentences(2, 200) if name == "small" else make_sentences(2, 300)
    for sentence in sentences:
        for bos in (True, False):
            for eos in (True, False):
                wanted = other.score(sentence, bos=bos, eos=eos)
                assert model.score(sentence, bos=bos, eos=eos) == pytest.approx(wanted, abs=1e-5)
                rows = list(other.full_scores(sentence, bos=bos, eos=eos))
                mine = list(model.full_scores(sentence, bos=bos, eos=eos))
                assert [row[1:] for row in mine] == [tuple(row[1:]) for row in rows], sentence
                assert [row[0] for row in mine] == pytest.approx([r[0] for r in rows], abs=1e-5)
        assert math.log(model.perplexity(sentence)) == pytest.approx(
            math.log(other.perplexity(sentence)), abs=1e-5
        )
        state, after, their_state, their_after = (
            kenlm.State(),
            kenlm.State(),
            theirs.State(),
            theirs.State(),
        )
        model.BeginSentenceWrite(state)
        other.BeginSentenceWrite(their_state)
        for word in [*sentence.split(), "</s>"]:
            assert (word in model) == (word in other)
            mine = model.BaseFullScore(state, word, after)
            full = other.BaseFullScore(their_state, word, their_after)
            assert mine.log_prob == pytest.approx(full.log_prob, abs=1e-5)
            assert (mine.ngram_length, mine.oov) == (full.ngram_length, full.oov)
            state, after = after, state
            their_state, their_after = their_after, their_state
    found = model.score_many(sentences)
    assert found.tolist() == pytest.approx([other.score(s) for s in sentences], abs=1e-4)


def test_weights_of_contexts_that_nothing_follows(tmp_path: Path) -> None:
    """They count, as they do in KenLM."""
    theirs = the_real_one()
    text = ARPA.replace("a look\t0", "a look\t-0.75").replace("model .\t0", "model .\t-0.5")
    place = tmp_path / "weights.arpa"
    place.write_text(text, encoding="utf-8")
    other, model = theirs.Model(str(place)), kenlm.Model(place)
    for sentence in ("a look", "a look a", "look model . a model .", "a look zebra"):
        assert model.score(sentence) == pytest.approx(other.score(sentence), abs=1e-5)
        assert model.score(sentence, bos=False) == pytest.approx(
            other.score(sentence, bos=False), abs=1e-5
        )
