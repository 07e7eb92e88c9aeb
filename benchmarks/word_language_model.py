"""Trains the plain LSTM language model of pytorch/examples (word_language_model) for some minutes.

    python -m benchmarks.word_language_model --data DIR --out F.json [--minutes 60] [--tied]

DIR holds train.txt, valid.txt and test.txt. The code is new, the model and the rules are the same:
torch.nn.LSTM, 2 × 200, dropout 0.2, batch 20 × 35, SGD with gradients clipped to 0.25 and a
learning rate of 20, which is divided by 4 after every epoch without a better validation. The
weights of the best validation are tested; each text is read in ten stripes. All wall time counts,
reading the text included. `--width 650 --dropout 0.5 --tied` are its published large settings.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

STRIPES, BPTT, CLIP = 10, 35, 0.25


class Model(nn.Module):
    """Word vectors, LSTM layers and a linear layer."""

    def __init__(self, words: int, width: int, layers: int, dropout: float, tied: bool) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, width, layers, dropout=dropout)
        self.decoder = nn.Linear(width, words)
        if tied:
            self.decoder.weight = self.embedding.weight
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """ids (T, B) → log-probabilities (T·B, V), state."""
        out, state = self.lstm(self.drop(self.embedding(ids)), state)
        logits = self.decoder(self.drop(out)).flatten(0, 1)
        return torch.log_softmax(logits, dim=1), state


def read(folder: Path) -> tuple[dict[str, Tensor], int]:
    """The ids of the three texts, `<eos>` at the end of each line, and the number of words. The
    vocabulary has the words of all three."""
    numbers: dict[str, int] = {}
    texts = {}
    for name in ("train", "valid", "test"):
        ids = [
            numbers.setdefault(word, len(numbers))
            for line in (folder / f"{name}.txt").open(encoding="utf-8")
            for word in [*line.split(), "<eos>"]
        ]
        texts[name] = torch.tensor(ids)
    return texts, len(numbers)


def stripes(ids: Tensor, count: int) -> Tensor:
    """ids (N,) → stripes (N / count, count); the rest of the ids is dropped."""
    length = len(ids) // count
    return ids[: length * count].view(count, length).T.contiguous()


def batches(data: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(data) - 1, BPTT):
        steps = min(BPTT, len(data) - 1 - start)
        yield data[start : start + steps], data[start + 1 : start + 1 + steps].flatten()


@torch.no_grad()
def perplexity(model: Model, data: Tensor) -> float:
    model.eval()
    total, state = 0.0, None
    for ids, targets in batches(data):
        log_prob, state = model(ids, state)
        total += float(nn.functional.nll_loss(log_prob, targets, reduction="sum"))
    model.train()
    return math.exp(total / (data.numel() - data.shape[1]))


def options_given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--width", type=int, default=200)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--tied", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = options_given()
    began = time.perf_counter()
    torch.manual_seed(options.seed)
    texts, words = read(options.data)
    train, valid = stripes(texts["train"], 20), stripes(texts["valid"], STRIPES)
    model = Model(words, options.width, options.layers, options.dropout, options.tied)
    lr, best, tokens, validating = 20.0, math.inf, 0, 0.0
    kept: dict[str, Tensor] = {}
    curve: list[dict[str, float]] = []
    seconds = 60 * float(options.minutes)

    def left() -> float:
        return seconds - (time.perf_counter() - began) - validating

    epoch = 0
    while left() > 0:
        epoch += 1
        state: Any = None
        for ids, targets in batches(train):
            model.zero_grad()
            if state is not None:
                state = (state[0].detach(), state[1].detach())
            log_prob, state = model(ids, state)
            torch.autograd.backward(nn.functional.nll_loss(log_prob, targets))
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            for p in model.parameters():
                if p.grad is not None:
                    p.data.add_(p.grad, alpha=-lr)
            tokens += ids.numel()
            if left() <= 0:
                break
        at = time.perf_counter()
        found = perplexity(model, valid)
        validating = time.perf_counter() - at  # the next one will take as long
        curve.append({"seconds": time.perf_counter() - began, "valid": found, "epoch": epoch})
        print(json.dumps(curve[-1] | {"tokens": tokens, "lr": lr}), flush=True)
        if found < best:
            best = found
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            lr /= 4
    seconds = time.perf_counter() - began
    model.load_state_dict(kept)
    result = {
        "seconds": seconds,
        "tokens": tokens,
        "parameters": sum(p.numel() for p in model.parameters()),
        "valid": best,
        "test": perplexity(model, stripes(texts["test"], STRIPES)),
        "curve": curve,
        "settings": {k: str(v) for k, v in vars(options).items()},
    }
    options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps({k: v for k, v in result.items() if k != "curve"}))


if __name__ == "__main__":
    main()
