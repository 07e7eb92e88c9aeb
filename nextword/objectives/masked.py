"""The objective of BERT: masked-word and next-sentence prediction (Devlin et al. 2019,
arXiv:1810.04805, section 3.1).

nll  = -Σ log p(w_i | the masked text)      over the words to be predicted
next = -Σ log p(y)                          over the rows; y = whether B follows A
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field

from ..config import Part
from ..types import Batch, MaskedLanguageModel, State, Term


class MaskedWords(Part):
    """Cross-entropy of the masked words (`nll`) and of "B follows A" (`next`). The terms `accuracy`
    and `next_accuracy` are for the log only."""

    name: Literal["masked"] = "masked"
    next_sentence: bool = Field(
        True, description="the model also learns whether the second piece follows the first"
    )

    def __call__(
        self, model: MaskedLanguageModel, batch: Batch, state: State
    ) -> tuple[dict[str, Term], State]:
        assert batch.mask is not None and batch.labels is not None
        hidden = model(batch.ids, batch.real, batch.segments)  # (B, T, H)
        words, targets = hidden[batch.mask], batch.targets[batch.mask]  # (N, H), (N,)
        log_prob, hit = model.predict(words, targets)
        terms = {"nll": Term(-log_prob.sum(), len(targets))}
        if self.next_sentence:
            logits = model.next_sentence(hidden).float()
            terms["next"] = Term(
                F.cross_entropy(logits, batch.labels, reduction="sum"), len(logits)
            )
            right = logits.detach().argmax(dim=1) == batch.labels
            terms["next_accuracy"] = Term(right.sum(), len(logits), learnt=False)
        terms["accuracy"] = Term(hit.sum(), len(targets), learnt=False)
        return terms, None
