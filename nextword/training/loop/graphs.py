"""CUDA graphs: forward and backward pass of a batch are recorded once and then replayed.

Launching a kernel takes a few microseconds of CPU time. A small recurrent model launches hundreds
per step, and the GPU waits for them. A graph launches them all at once. It works only for the
shapes and memory addresses that were recorded, so there is one graph per batch shape, and its
inputs and outputs are copied into and out of tensors of its own.
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
#: Records a function. Returns the function's result and a function that replays the recording,
#: which repeats the same work on the same memory.
Record = Callable[[Callable[[], Learnt]], tuple[Learnt, Replay]]

#: The shape (B, T) of a batch, and whether it starts without a state.
_Key = tuple[tuple[int, ...], bool]

_SEEN = 2  # batches of a shape that run without a graph first, as many shapes occur once


class Graphs:
    """A function that adds the gradient of a batch's loss to the parameters, by CUDA graphs.

    Batches with a mask and the first batches of each shape run without a graph.

    Args:
        learn: the function to record.
        parameters: the parameters of the model.
        record: records a function; `on_cuda()` makes it.

    Raises:
        TrainingError: the function cannot be recorded. CUDA may be in an undefined state after
            that, so the training ends.
    """

    def __init__(self, learn: Backward, parameters: list[nn.Parameter], record: Record) -> None:
        self.learn, self.record = learn, record
        self.parameters = [p for p in parameters if p.requires_grad]
        self.seen: Counter[_Key] = Counter()
        self.touched: dict[
            _Key, list[nn.Parameter]
        ] = {}  # parameters that a batch of this shape gives gradients
        self.graphs: dict[_Key, _Graph] = {}
        self.grads: dict[nn.Parameter, Tensor] = {}  # the tensors that graphs add gradients to

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
        """Run without a graph, and remember which parameters get a gradient."""
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
        """Record the function on copies of its inputs; gradients stay as they were."""
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
        finally:
            for parameter, before in zip(self.parameters, waiting, strict=True):
                parameter.grad = before
        return _Graph(replay, own, first, answer)

    @torch.no_grad()
    def _use_own_gradients(self, key: _Key) -> None:
        """Move accumulated gradients into tensors whose memory address never changes."""
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
        """Copy the inputs in, replay the graph, and return copies of its results."""
        self.batch.ids.copy_(batch.ids)
        self.batch.targets.copy_(batch.targets)
        for place, value in zip(trees.leaves(self.first), trees.leaves(state), strict=True):
            place.copy_(value)
        self.replay()
        terms, loss, last = self.answer
        copies = {name: term._replace(total=term.total.clone()) for name, term in terms.items()}
        return copies, loss.clone(), trees.tree_map(torch.clone, last)


def on_cuda() -> Record:
    """Return a function that records on the current GPU.

    All graphs share one memory pool, which is safe because they never run at the same time.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(function: Callable[[], Learnt]) -> tuple[Learnt, Replay]:
        graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        drawn = torch.cuda.get_rng_state()
        try:
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                function()  # what libraries set up in their first call cannot be recorded
            torch.cuda.current_stream().wait_stream(aside)
            with torch.cuda.graph(graph, pool=pool):
                answer = function()
        finally:
            torch.cuda.set_rng_state(
                drawn
            )  # replays draw the same random numbers as runs without a graph
        return answer, graph.replay

    return record


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
