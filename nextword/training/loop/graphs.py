"""CUDA graphs: a function that learns from a batch is recorded once, then replayed.

Starting a kernel costs a few microseconds of the processor's time; a small recurrent model starts
hundreds a step and the GPU waits for them. A graph starts them all at once. It is bound to fixed
shapes and addresses, so there is one for each shape of batch (each length, where lengths vary),
and what goes in and comes out lies in tensors of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ... import state as trees
from ...errors import TrainingError
from ...types import Batch, State
from .step import Backward, Learnt

Replay = Callable[[], None]
#: Runs a function once, as a replay would, and answers what it answered and how to replay it: the
#: same work on the same memory.
Record = Callable[[Callable[[], Learnt]], tuple[Learnt, Replay]]

#: The shape of a batch, and whether it is read from the beginning.
_Key = tuple[tuple[int, ...], bool]

_SEEN = 2  # times a shape goes the usual way before it is recorded: some lengths come only once


class Graphs:
    """A function that adds a batch's gradient to the parameters', recorded where possible.

    A masked batch goes the usual way, and so do the first of each shape.

    Raises:
        TrainingError: something in the function cannot be recorded. CUDA is not to be trusted after
            that, so nothing goes on.
    """

    def __init__(self, learn: Backward, parameters: list[nn.Parameter], record: Record) -> None:
        self.learn, self.record = learn, record
        self.parameters = [p for p in parameters if p.requires_grad]
        self.seen: Counter[_Key] = Counter()
        self.touched: dict[_Key, list[nn.Parameter]] = {}  # parameters that get a gradient
        self.graphs: dict[_Key, _Graph] = {}
        self.grads: dict[nn.Parameter, Tensor] = {}  # what recorded functions add gradients to

    def __call__(self, batch: Batch, state: State) -> Learnt:
        if batch.mask is not None:
            return self.learn(batch, state)
        key = tuple(batch.ids.shape), state is None
        self.seen[key] += 1
        if self.seen[key] < _SEEN:
            return self.learn(batch, state)
        if self.seen[key] == _SEEN:
            return self._watched(key, batch, state)
        if key not in self.graphs:
            self.graphs[key] = self._recorded(key, batch, state)
        self._use_own_gradients(key)
        return self.graphs[key].replayed(batch, state)

    def _watched(self, key: _Key, batch: Batch, state: State) -> Learnt:
        """Learn the usual way, and note which parameters get a gradient."""
        waiting = [p.grad for p in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        answer = self.learn(batch, state)
        self.touched[key] = [p for p in self.parameters if p.grad is not None]
        for parameter, before in zip(self.parameters, waiting, strict=True):
            if before is not None:
                parameter.grad = before if parameter.grad is None else before + parameter.grad
        return answer

    def _recorded(self, key: _Key, batch: Batch, state: State) -> _Graph:
        """Record the function on copies of what it is given; gradients are as they were before."""
        waiting = [None if p.grad is None else p.grad.clone() for p in self.parameters]
        self._use_own_gradients(key)
        own = replace(batch, ids=batch.ids.clone(), targets=batch.targets.clone())
        first = trees.tree_map(torch.clone, state)

        def step() -> Learnt:
            terms, loss, last = self.learn(own, first)
            return terms, loss, trees.detach(last)

        try:
            answer, replay = self.record(step)
        except RuntimeError as error:
            raise TrainingError(
                f"this training cannot be recorded as a CUDA graph ({_first_line(error)}); "
                "train it with train.graphs=false"
            ) from None
        for parameter, before in zip(self.parameters, waiting, strict=True):
            parameter.grad = before
        return _Graph(replay, own, first, answer)

    @torch.no_grad()
    def _use_own_gradients(self, key: _Key) -> None:
        """Let `grad` be a tensor that stays where it is, with what waits there for its step."""
        for parameter in self.touched[key]:
            own = self.grads.setdefault(parameter, torch.empty_like(parameter))
            if parameter.grad is None:
                own.zero_()
            elif parameter.grad is not own:
                own.copy_(parameter.grad)
            parameter.grad = own


@dataclass
class _Graph:
    """A recorded function and the tensors that it reads and writes."""

    replay: Replay
    batch: Batch
    first: State
    answer: Learnt

    def replayed(self, batch: Batch, state: State) -> Learnt:
        self.batch.ids.copy_(batch.ids)
        self.batch.targets.copy_(batch.targets)
        for place, value in zip(trees.leaves(self.first), trees.leaves(state), strict=True):
            place.copy_(value)
        self.replay()
        terms, loss, last = self.answer
        copies = {name: term._replace(total=term.total.clone()) for name, term in terms.items()}
        return copies, loss.clone(), trees.tree_map(torch.clone, last)


def on_cuda() -> Record:
    """Records on the present GPU. All graphs share their scratch memory: they never run at once."""
    pool = torch.cuda.graph_pool_handle()

    def record(function: Callable[[], Learnt]) -> tuple[Learnt, Replay]:
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
