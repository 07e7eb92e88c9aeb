"""CUDA graphs: a training step's forward and backward pass recorded once, then replayed.

Starting a kernel costs a few microseconds of the processor's time; a small recurrent model starts
hundreds a step and the GPU waits for them. A graph starts them all at once. It is bound to fixed
shapes and addresses, so there is one for each shape of batch (each length, where lengths vary),
and what goes in and comes out lies in tensors of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import state as trees
from ..errors import TrainingError
from ..types import Batch, State, Term

#: (batch, state) → (terms, loss, state)
Forward = Callable[[Batch, State], tuple[dict[str, Term], Tensor, State]]
Learnt = tuple[dict[str, Term], float, State]  # terms, loss, state, all cut off from the graph
Replay = Callable[[], None]
#: Runs a function once, as a replay would, and answers what it answered and how to replay it: the
#: same work on the same memory.
Record = Callable[[Callable[[], Any]], tuple[Any, Replay]]

_SEEN = 2  # times a shape goes the usual way before it is recorded: some lengths come only once


def descend(forward: Forward, batch: Batch, state: State) -> Learnt:
    """The forward and the backward pass: adds to the parameters' gradients."""
    terms, loss, state = forward(batch, state)
    loss.backward()  # type: ignore[no-untyped-call]
    return _bare(terms), float(loss.detach()), trees.detach(state)


class Graphs:
    """`descend`, recorded where that is possible.

    A masked batch goes the usual way, and so do the first of each shape.

    Raises:
        TrainingError: something in the passes cannot be recorded. CUDA is not to be trusted after
            that, so nothing goes on.
    """

    def __init__(self, forward: Forward, parameters: list[nn.Parameter], record: Record) -> None:
        self.forward, self.record = forward, record
        self.parameters = [p for p in parameters if p.requires_grad]
        self.seen: Counter[Any] = Counter()
        self.graphs: dict[Any, _Graph] = {}
        self.grads = [torch.empty_like(p) for p in self.parameters]  # written by every graph

    def __call__(self, batch: Batch, state: State) -> Learnt:
        shape = tuple(batch.ids.shape)
        self.seen[shape] += 1
        if batch.mask is not None or self.seen[shape] <= _SEEN:
            return descend(self.forward, batch, state)
        if shape not in self.graphs:
            for parameter in self.parameters:  # what waits may lie in `grads`, soon overwritten
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.clone()
            try:
                self.graphs[shape] = self._recorded(batch, state)
            except RuntimeError as error:
                raise TrainingError(
                    f"this training cannot be recorded as a CUDA graph ({_first_line(error)}); "
                    "train it with train.graphs=false"
                ) from None
        return self._replayed(self.graphs[shape], batch, state)

    def _recorded(self, batch: Batch, state: State) -> _Graph:
        ids, targets = batch.ids.clone(), batch.targets.clone()
        first = trees.tree_map(torch.clone, state)
        own = Batch(ids, targets, batch.continues, None, batch.lr_scale)

        def step() -> tuple[dict[str, Term], Tensor, State, list[bool]]:
            terms, loss, last = self.forward(own, first)
            grads = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            for place, grad in zip(self.grads, grads, strict=True):
                if grad is not None:
                    place.copy_(grad)
            return _bare(terms), loss.detach(), trees.detach(last), [g is not None for g in grads]

        (terms, loss, last, touched), replay = self.record(step)
        return _Graph(replay, ids, targets, first, terms, loss, last, touched)

    def _replayed(self, graph: _Graph, batch: Batch, state: State) -> Learnt:
        waiting = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        graph.ids.copy_(batch.ids)
        graph.targets.copy_(batch.targets)
        for place, value in zip(trees.leaves(graph.first), trees.leaves(state), strict=True):
            place.copy_(value)
        graph.replay()
        for index, parameter in enumerate(self.parameters):
            before, grad = waiting[index], self.grads[index]
            if graph.touched[index]:
                before = grad if before is None else before + grad
            parameter.grad = before
        terms = {
            name: term._replace(total=term.total.clone()) for name, term in graph.terms.items()
        }
        return terms, float(graph.loss), trees.tree_map(torch.clone, graph.last)


@dataclass
class _Graph:
    replay: Replay
    ids: Tensor
    targets: Tensor
    first: State
    terms: dict[str, Term]
    loss: Tensor
    last: State
    touched: list[bool]  # parameters that get a gradient


def on_cuda() -> Record:
    """Records on the present GPU. All graphs share their scratch memory: they never run at once."""
    pool = torch.cuda.graph_pool_handle()

    def record(function: Callable[[], Any]) -> tuple[Any, Replay]:
        graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        drawn = torch.cuda.get_rng_state()
        try:
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                function()  # what libraries set up at a first call cannot be recorded
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(graph, pool=pool):
                answer = function()
        finally:
            torch.cuda.set_rng_state(drawn)  # replays draw what the usual way would have drawn
        return answer, graph.replay

    return record


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _bare(terms: dict[str, Term]) -> dict[str, Term]:
    return {name: term._replace(total=term.total.detach()) for name, term in terms.items()}
