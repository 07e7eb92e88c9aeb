"""Compares the speed of pre-training BERT with that of the transformers library.

    python -m benchmarks.bert [--shape small minilm] [--repeats 7] [--json F]

Theirs is BertForPreTraining with its own loss (masked words and next sentence), clipping and AdamW,
in a hand-written loop. Both sides read the same batches of masked pairs. See `race` for the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .race import Race, Watch, fit, working

LR, CLIP, DROPOUT, STEPS = 1e-4, 1.0, 0.1, 12
SIDES = ("ours", "transformers", "ours, bf16")


@dataclass(frozen=True)
class Shape:
    """A model and its batch."""

    width: int
    layers: int
    heads: int
    vocabulary: int
    batch: int
    length: int

    def __str__(self) -> str:
        return (
            f"{self.layers} layers of {self.width}, {self.heads} heads, {self.vocabulary:,} words, "
            f"batch {self.batch} × {self.length}"
        )


SHAPES = {"small": Shape(256, 4, 4, 8000, 32, 128), "minilm": Shape(384, 6, 12, 30_522, 16, 128)}


def corpus(shape: Shape) -> Any:
    """Documents of random sentences, enough for more than `STEPS` batches."""
    import numpy as np

    from nextword.text.corpus import Corpus, Counts

    rng = np.random.default_rng(1)
    sentences = []
    for number in range(STEPS * shape.batch * shape.length // 16):
        words = np.minimum(rng.zipf(1.2, 20), shape.vocabulary - 6) + 5
        sentences.append(np.append(words, [1, 1] if number % 20 == 19 else 1))
    ids = np.concatenate(sentences).astype(np.uint16)
    return Corpus(ids, Counts(tokens=len(ids)), "bench")


def settings(shape: Shape, dropout: float, precision: str) -> Any:
    """The settings of both sides."""
    from nextword.config import Config

    return Config.parse(
        {
            "text": {"tokenizer": "wordpiece"},
            "model": {
                "name": "bert",
                "hidden": shape.width,
                "layers": shape.layers,
                "heads": shape.heads,
                "context": shape.length,
                "dropout": dropout,
                "dropout_attention": 0.0,
            },
            "objective": {"name": "masked"},
            "train": {
                "epochs": 1,
                "stream": "masked",
                "batch_size": shape.batch,
                "bptt": shape.length,
                "clip": CLIP,
                "precision": precision,
            },
            "optimizer": {"name": "adamw", "lr": LR, "weight_decay": 0.01},
            "schedule": {"name": "constant"},
        }
    )


def initial(config: Any, shape: Shape) -> Any:
    """The model with whose weights both sides begin."""
    import torch

    torch.manual_seed(1)
    return config.model.build(shape.vocabulary)


def theirs(shape: Shape, dropout: float) -> dict[str, Any]:
    """The model of transformers in a hand-written loop."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    from nextword import hub, hub_weights

    config = settings(shape, dropout, "fp32")
    start = initial(config, shape)
    values = hub.hub_config(config, shape.vocabulary)
    model = BertForPreTraining(BertConfig(**values))
    weights = hub_weights.to_hub(dict(start.state_dict()), config)
    missing, extra = model.load_state_dict(weights, strict=False)
    assert not extra and all("decoder" in name or "position_ids" in name for name in missing)
    model.tie_weights()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.01)
    watch = Watch()
    for batch in working(config, start, corpus(shape)).stream(0):
        watch.begin(batch.tokens)
        loss = model(
            batch.ids,
            attention_mask=batch.real.long(),
            token_type_ids=batch.segments,
            labels=batch.targets.where(batch.mask, -100),
            next_sentence_label=batch.labels,
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        watch.losses.append(loss.item())
    return watch.result()


def answer(side: str, shape: Shape, dropout: float) -> dict[str, Any]:
    """Runs in the process of a side: returns seconds per token, and the losses."""
    if side == "transformers":
        return theirs(shape, dropout)
    config = settings(shape, dropout, "bf16" if "bf16" in side else "fp32")
    return fit(config, initial(config, shape), corpus(shape))


if __name__ == "__main__":
    Race("benchmarks.bert", __doc__, SIDES, SHAPES, DROPOUT, "tokens", answer).main()
