"""Train a small model on a text, evaluate it, rank two sentences by their probability, and
generate.

python examples/train_and_use.py [TEXT] [RUN]
"""

from __future__ import annotations

import sys
from pathlib import Path

import nextword

text = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "shakespeare.txt"
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs/example")

run = nextword.train(
    "gru",
    text,
    out,
    overrides={
        "text.vocab_size": 1000,
        "model.hidden": 64,
        "model.embedding": 64,
        "train.epochs": 1,
    },
    overwrite=True,
)
result = nextword.evaluate(run, text)
print(f"{result.bits_per_byte:.3f} bits per byte, accuracy {result.accuracy:.1%}")

sentences = ["I will speak to the king.", "king the to speak will I."]
for sentence in sorted(nextword.score(run, sentences), key=lambda s: -s.log_prob):
    print(f"{sentence.log_prob:8.2f}  {sentence.text}")

print(nextword.generate(run, "My lord,", tokens=40, temperature=0.8, seed=1))
