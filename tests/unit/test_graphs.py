"""Steps that are recorded and replayed: on the CPU, with a recording that is emulated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import nextword
from nextword import state as trees
from nextword.cli.main import main
from nextword.config import configure, recipe_path
from nextword.errors import InputError, Interrupted, TrainingError
from nextword.nn import kernels
from nextword.nn.randomness import generator
from nextword.text.corpus import Corpus, Counts
from nextword.training.by_gradient import _notes
from nextword.training.loop import loop
from nextword.training.loop.graphs import Graphs
from nextword.training.loop.journal import read_metrics
from nextword.training.loop.step import add_gradients, backward, clip_gradients
from nextword.training.loop.training import Training
from nextword.types import Batch, State, Term
from tests.support import NO_WORDS, Learning

V, B = 13, 4  # vocabulary, rows
LENGTHS = [10, 10, 7, 10, 10, 7, 10, 7, 7, 3, 10, 7, 3, 10, 3, 7, 3, 10, 3, 7]

TINY: dict[str, Any] = {
    "text.tokenizer": "char",
    "model.hidden": 12,
    "model.embedding": 8,
    "model.layers": 2,
    "model.embedding_std": 0.05,
    "model.dropout_embedding": 0.1,
    "model.dropout_hidden": 0.3,
    "model.dropout_weight": 0.2,
    "objective.ar": 0.5,
    "objective.tar": 0.5,
    "train.epochs": 2,
    "train.batch_size": B,
    "train.bptt": 10,
    "train.patience": None,
    "optimizer.lr": 0.02,
}


class Capturing(TorchDispatchMode):
    """Within it nobody may wait for a number that the device computes."""

    def __torch_dispatch__(self, op: Any, kinds: Any, given: Any = (), named: Any = None) -> Any:
        if op._schema.name in ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal"):
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        return op(*given, **(named or {}))


@dataclass
class Recorder:
    """Records as a GPU does, as far as anybody can tell: the function runs once, then it is
    recorded, which computes nothing and can look at no number, and each replay writes where the
    recorded run would have written. What is drawn meanwhile does not count."""

    count: int = 0
    refuse: int | None = None  # the recording that is not possible
    early: bool = False  # which is seen before anything ran
    error: Exception = RuntimeError("operation not permitted\nwhen stream is capturing")  # noqa: RUF009

    def __call__(self, function: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        self.count += 1
        refused = self.count == self.refuse
        if refused and self.early:
            raise self.error
        drawn = generator().get_state()
        try:
            function()
            if refused:
                raise self.error
            with Capturing():
                answer = function()
        finally:
            generator().set_state(drawn)
        for place in tensors(answer):
            place.fill_(torch.nan)

        def replay() -> None:
            for place, value in zip(tensors(answer), tensors(function()), strict=True):
                place.copy_(value)

        return answer, replay


def tensors(answer: Any) -> Iterator[Tensor]:
    """Every tensor in what a function answered."""
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, (tuple, list, dict)):
        for part in answer.values() if isinstance(answer, dict) else answer:
            yield from tensors(part)


def made(recorder: Recorder | None = None, **settings: Any) -> Learning:
    """A training of a small model; with a recorder its steps are recorded. The same weights each
    time."""
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    config = configure("lstm", overrides)
    torch.manual_seed(1)
    model = config.model.build(V)
    ids = np.random.default_rng(2).integers(0, V, 500).astype(np.uint16)
    corpus = Corpus(ids, Counts(tokens=len(ids)), "")
    training = Learning(Path(), config, model, corpus, None, torch.device("cpu"), 0.0, NO_WORDS)
    if recorder:
        record(training, recorder)
    return training


def record(training: Learning, recorder: Recorder) -> Graphs:
    learn = partial(backward, training)
    training.recorded = Graphs(learn, list(training.model.parameters()), recorder)
    return training.recorded


def batches(lengths: list[int], continues: Callable[[int], bool] = bool) -> list[Batch]:
    """Random tokens; the first batch starts afresh."""
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randint(0, V, (B, length + 1), generator=generator) for length in lengths]
    return [Batch(ids[:, :-1], ids[:, 1:], continues(i)) for i, ids in enumerate(drawn)]


def copied(values: Any) -> Any:
    return copy.deepcopy(values)


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    return {
        name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()
    }


def followed(
    training: Learning, given: list[Batch], to_none: bool = True, backend: str = "auto"
) -> list[Any]:
    """A training, step by step: terms, loss, state and gradients of each, and the weights at the
    end. What a call returned is still the same when all is over."""
    model, accumulate = training.model, training.config.train.accumulate
    optimizer = training.config.optimizer.build(model.parameters())
    torch.manual_seed(4)
    returned: list[Any] = []
    seen: list[Any] = []
    state: State = None
    with kernels.backend(backend):
        for index, batch in enumerate(given):
            before = copied(state)
            terms, loss, after = training.learn(batch, state)
            torch.testing.assert_close(state, before, atol=0, rtol=0)
            state = after
            returned.append((terms, loss, state))
            seen.append((copied(returned[-1]), gradients(model)))
            if (index + 1) % accumulate == 0:
                clip_gradients(model, training.config.train)
                optimizer.step()
                optimizer.zero_grad(set_to_none=to_none)
    for kept, (first, _) in zip(returned, seen, strict=True):
        equal(kept, first)
    assert not any(value.requires_grad for value in tensors(returned))
    return [*seen, {name: p.detach().clone() for name, p in model.named_parameters()}]


def equal(found: Any, expected: Any) -> None:
    """To the last bit, and the same kind of thing."""
    assert type(found) is type(expected)
    if isinstance(found, Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            equal(found[key], expected[key])
    elif isinstance(found, (tuple, list)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            equal(one, other)
    else:
        assert found == expected


# --------------------------------------------------------------------------- equal to the usual way


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_equals_the_usual_way(cell: str, accumulate: int, to_none: bool) -> None:
    """Terms, loss, state and gradients of every step, and the weights it leads to: lengths in
    turn, the state carried on or not, gradients that wait for their step, and masks drawn."""
    settings: dict[str, Any] = {"model__cell": cell, "train__accumulate": accumulate}
    given = batches(LENGTHS, lambda index: index % 5 != 0)
    recorder = Recorder()
    found = followed(made(recorder, **settings), given, to_none)
    equal(found, followed(made(**settings), given, to_none))
    assert recorder.count == 3


@pytest.mark.parametrize("backend", ["fast", "torch", "step"])
@pytest.mark.parametrize("cell", ["lstm", "peephole", "irnn"])
def test_whatever_runs_the_layers(cell: str, backend: str) -> None:
    """Our loops, torch's layer and the readable code, untied and without dropout."""
    settings: dict[str, Any] = {"model__cell": cell, "model__tied": False, "model__layers": 1}
    settings |= {f"model__dropout_{kind}": 0.0 for kind in ("embedding", "hidden", "weight")}
    recorder = Recorder()
    given = batches(LENGTHS)
    found = followed(made(recorder, **settings), given, backend=backend)
    equal(found, followed(made(**settings), given, backend=backend))
    assert recorder.count == 3


@pytest.mark.parametrize("steps", [1, 3])
def test_a_batch_is_a_share_of_a_step(steps: int) -> None:
    """The loss is that of the batch; its gradient is divided by the batches of a step."""
    found = []
    for accumulate in (1, 4):
        training = made(Recorder(), train__accumulate=accumulate)
        for batch in batches([10] * steps):
            torch.manual_seed(5)
            training.model.zero_grad()
            terms, loss, _ = training.learn(batch, None)
        assert loss == pytest.approx(sum(float(t.total) / t.count for t in terms.values()))
        found.append((loss, gradients(training.model)))
    (loss, whole), (same, shares) = found
    assert same == pytest.approx(loss)
    for name, share in shares.items():
        assert share is not None
        torch.testing.assert_close(4 * share, whole[name])


def test_in_bfloat16() -> None:
    """The same under mixed precision."""
    given = batches(LENGTHS)
    settings: dict[str, Any] = {"train__precision": "bf16"}
    recorder = Recorder()
    equal(followed(made(recorder, **settings), given), followed(made(**settings), given))
    assert recorder.count == 3


def test_gradients_wait_while_a_shape_is_recorded() -> None:
    """Those that a replay of another shape has left since the last step of the optimizer."""
    given = batches([10, 10, 7, 7, 10, 7, 10, 7])
    settings: dict[str, Any] = {"train__accumulate": 2}
    recorder = Recorder()
    equal(followed(made(recorder, **settings), given), followed(made(**settings), given))
    assert recorder.count == 2


def test_gradients_from_elsewhere_are_added_to() -> None:
    """Whatever a gradient holds before, and whoever made it."""
    results = []
    for training in (made(Recorder()), made()):
        torch.manual_seed(5)
        state = training.model.start(B)
        for index, batch in enumerate(batches([10] * 6)):
            if index >= 3:
                for position, parameter in enumerate(training.model.parameters()):
                    parameter.grad = torch.full_like(parameter, index) if position % 2 else None
            training.learn(batch, state)
        results.append(gradients(training.model))
    equal(*results)


def test_a_parameter_without_a_gradient_is_left_alone() -> None:
    """One that the model does not use has none, or the one that it had."""
    results = []
    for recorder in (Recorder(), None):
        training = made()
        training.model.idle = nn.Parameter(torch.ones(3))
        graphs = record(training, recorder) if recorder else None
        *_, (_, last), _ = followed(training, batches([10] * 4))
        assert last["idle"] is None
        assert graphs is None or len(graphs.graphs) == 1
        training.model.idle.grad = torch.full((3,), 7.0)
        results.append(followed(training, batches([10] * 4), to_none=False))
        assert results[-1][0][1]["idle"].tolist() == [7.0] * 3
        assert results[-1][1][1]["idle"].tolist() == [0.0] * 3
    equal(*results)


def test_a_parameter_that_some_shapes_use() -> None:
    """Gradients as the usual way leaves them, also where a shape gives none."""
    results = []
    for recorded in (True, False):
        a, b = nn.Parameter(torch.arange(1.0, 5.0)), nn.Parameter(torch.arange(2.0, 6.0))

        def usual(batch: Batch, state: State, a: Any = a, b: Any = b) -> Any:
            x = batch.ids.float().mean() * a
            total = (x * b if batch.ids.shape[1] > 5 else x).sum()
            add_gradients([a, b], torch.autograd.grad(total, [a, b], allow_unused=True))
            return {"nll": Term(total.detach(), 1)}, total.detach(), state

        learn = Graphs(usual, [a, b], Recorder()) if recorded else None
        steps: list[Any] = []
        for index, batch in enumerate(batches([3, 3, 3, 10, 10, 10, *[3, 3, 10, 3] * 2])):
            answer = (learn or usual)(batch, None)
            steps.append(copied((answer, a.grad, b.grad)))
            if index < 6 or index % 4 == 1:
                a.grad = b.grad = None
        without = [index for index, (_, _, gradient) in enumerate(steps) if gradient is None]
        assert without == [0, 1, 2, 6, 7, 10, 11]
        assert learn is None or len(learn.graphs) == 2
        results.append(steps)
    equal(*results)


def test_a_state_of_nothing() -> None:
    """A model without a state is recorded too."""
    weight = nn.Parameter(torch.ones(V))

    def forward(batch: Batch, state: State) -> Any:
        loss = weight[batch.ids].mean()
        add_gradients([weight], torch.autograd.grad(loss, [weight]))
        return {"nll": Term(loss.detach(), 1)}, loss.detach(), state

    graphs = Graphs(forward, [weight], Recorder())
    for batch in batches([5] * 5):
        weight.grad = None
        _, _, state = graphs(batch, None)
        assert state is None
        counts = torch.bincount(batch.ids.flatten(), minlength=V) / batch.ids.numel()
        torch.testing.assert_close(weight.grad, counts)
    assert len(graphs.graphs) == 1


def test_weights_may_change_in_place() -> None:
    """A replay sees the weights of the day: those of an optimizer, or read from a file."""
    training, twin = made(Recorder()), made()
    given = batches([10] * 6)
    followed(training, given)
    weights = {name: value + 0.1 for name, value in training.model.state_dict().items()}
    for one in (training, twin):
        one.model.load_state_dict(weights)
        one.model.zero_grad()
    equal(followed(training, given), followed(twin, given))


# --------------------------------------------------------------------------------- what is recorded


def test_a_shape_is_recorded_when_it_comes_a_third_time() -> None:
    """Once, and not before: by its rows and its length."""
    recorder = Recorder()
    training = made()
    graphs = record(training, recorder)
    wide = batches([10] * 4)
    narrow = [replace(batch, ids=batch.ids[:2], targets=batch.targets[:2]) for batch in wide]
    counts = []
    for batch in (wide[0], wide[1], narrow[0], wide[2], wide[3], narrow[1], narrow[2], narrow[3]):
        training.learn(batch, None)
        counts.append(recorder.count)
    assert counts == [0, 0, 0, 1, 1, 1, 2, 2]
    assert set(graphs.graphs) == {((B, 10), True), ((2, 10), True)}


def test_masked_batches_go_the_usual_way() -> None:
    """However often they come; what counts differs from one to the next."""
    generator = torch.Generator().manual_seed(6)
    given = batches([10] * 12)
    given = [
        replace(batch, mask=torch.rand(B, 10, generator=generator) < 0.7) if index % 2 else batch
        for index, batch in enumerate(given)
    ]
    recorder = Recorder()
    found = followed(made(recorder), given)
    equal(found, followed(made(), given))
    assert recorder.count == 1
    counts = {step[0][0]["nll"].count for step in found[1:-1:2]}
    assert len(counts) > 2 and 40 not in counts
    recorder = Recorder()
    followed(made(recorder), given[1::2])
    assert recorder.count == 0


def test_what_is_given_is_not_kept() -> None:
    """Batch and state may be written over after a call."""
    results = []
    for training in (made(Recorder()), made()):
        torch.manual_seed(5)
        steps = []
        for batch in batches([10] * 6):
            state = trees.tree_map(lambda part: part + 0.1, training.model.start(B))
            answer = training.learn(batch, state)
            steps.append(copied((answer[0], answer[1], gradients(training.model))))
            batch.ids.zero_()
            for part in trees.leaves(state):
                part.fill_(torch.nan)
            training.model.zero_grad()
        results.append(steps)
    equal(*results)


def test_a_frozen_parameter_stays_frozen() -> None:
    """It gets no gradient, or keeps the one that it had; all others are as the usual way has
    them."""
    results = []
    for recorder in (Recorder(), None):
        training = made()
        frozen = training.model.stack.layers[0].W.requires_grad_(False)
        frozen.grad = torch.full_like(frozen, 7.0)
        graphs = record(training, recorder) if recorder else None
        results.append(followed(training, batches([10] * 5), to_none=False))
        assert results[-1][0][1]["stack.layers.0.W"].eq(7).all()
        assert results[-1][4][1]["stack.layers.0.W"].eq(0).all()  # the optimizer's doing
        assert graphs is None or len(graphs.graphs) == 1
    equal(*results)


# ------------------------------------------------------------------------------ who goes by graphs

SOFTMAXES: dict[str, tuple[dict[str, Any], bool]] = {
    "full": ({}, True),
    "mixture": ({"model__softmaxes": 3}, True),
    "sampled": ({"model__softmax": "sampled", "model__cutoffs": [5], "model__samples": 4}, False),
    "adaptive": (
        {"model__softmax": "adaptive", "model__tied": False, "model__cutoffs": [3, 7]},
        False,
    ),
}


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_graphs_are_for_cuda_and_full_softmaxes(
    softmax: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for who asks for them: no word may decide how much work there is. A note says why they
    do nothing."""
    settings, fixed = SOFTMAXES[softmax]
    monkeypatch.setattr(loop, "on_cuda", Recorder)
    for where in ("cuda", "cpu"):
        training = made(train__graphs=wanted, **settings)
        training.device = torch.device(where)
        used = wanted and fixed and where == "cuda"
        assert training.by_graphs == used
        assert isinstance(loop.learner(training), Graphs) == used
        said = [note for note in _notes(training) if "graphs" in note]
        if not wanted or used:
            assert said == []
        elif where == "cuda":
            words = "train.graphs is for models with a full softmax and does nothing here"
            assert said == [words]
        else:
            assert said == ["train.graphs is for CUDA and does nothing here"]


def test_a_mixture_of_softmaxes_equals_the_usual_way() -> None:
    """It has fixed shapes too, and so have gates between input and state."""
    settings: dict[str, Any] = {
        "model__softmaxes": 3,
        "model__mogrify": 2,
        "model__mogrify_rank": 3,
    }
    recorder = Recorder()
    given = batches(LENGTHS)
    equal(followed(made(recorder, **settings), given), followed(made(**settings), given))
    assert recorder.count == 3


def test_on_a_cpu_the_setting_changes_nothing() -> None:
    """The steps are the usual ones."""
    assert not isinstance(loop.learner(made(train__graphs=True)), Graphs)
    given = batches([10] * 4)
    equal(followed(made(train__graphs=True), given), followed(made(), given))


# ------------------------------------------------------------------------------ what cannot be done

CANNOT = "this training cannot be recorded as a CUDA graph ({}); train it with train.graphs=false"


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("refuse", [1, 2, 3])
def test_a_recording_that_fails_ends_the_training(
    refuse: int, accumulate: int, early: bool
) -> None:
    """One line says why and what to do. All steps before it were those of the usual way, and the
    gradients that waited for theirs are as they were."""
    settings: dict[str, Any] = {"train__accumulate": accumulate}
    first = next(
        index
        for index, length in enumerate(LENGTHS)
        if LENGTHS[1 : index + 1].count(length) == 3  # the first batch has no state to go on from
        and len({one for one in LENGTHS if LENGTHS[1 : index + 1].count(one) >= 3}) == refuse
    )
    recorder = Recorder(refuse=refuse, early=early)
    training, usual = made(recorder, **settings), made(**settings)
    given = batches(LENGTHS)
    *steps, weights = followed(training, given[:first])
    *expected, same = followed(usual, given[:first])
    equal(steps, expected)
    equal(weights, same)
    assert recorder.count == refuse - 1
    before = gradients(training.model)
    (_, _, state), _ = steps[-1]
    with pytest.raises(TrainingError) as caught:
        training.learn(given[first], state)
    assert str(caught.value) == CANNOT.format("operation not permitted")
    assert recorder.count == refuse
    equal(gradients(training.model), before)


def test_shapes_that_depend_on_the_data_cannot_be_recorded() -> None:
    """An adaptive softmax opens clusters as the words of a batch have it."""
    training = made(Recorder(), **SOFTMAXES["adaptive"][0])
    with pytest.raises(TrainingError, match=r"operation not permitted\).*train\.graphs=false"):
        followed(training, batches(LENGTHS))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("no room\nat all"), "no room"),
        (NotImplementedError("no way"), "no way"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_any_error_of_torch_is_a_reason(error: Exception, words: str) -> None:
    """Whatever its kind, and whether it says anything or not."""
    training = made(Recorder(refuse=1, error=error))
    with pytest.raises(TrainingError) as caught:
        followed(training, batches([10] * 5))
    assert str(caught.value) == CANNOT.format(words)


def test_mistakes_are_not_hidden() -> None:
    """An error that torch did not raise comes out."""
    training = made(Recorder(refuse=1, error=ValueError("wrong")))
    with pytest.raises(ValueError, match="wrong"):
        followed(training, batches([10] * 4))


# ---------------------------------------------------------------------------------- whole trainings


def use(monkeypatch: pytest.MonkeyPatch, recorder: Recorder) -> None:
    """Every training from now on is recorded."""

    def recorded(training: Training) -> Graphs:
        return Graphs(partial(backward, training), list(training.model.parameters()), recorder)

    monkeypatch.setattr(loop, "learner", recorded)


def fit(text: Path, out: Path, quiet: bool = True, **settings: Any) -> nextword.Run:
    overrides = TINY | {key.replace("__", "."): value for key, value in settings.items()}
    return nextword.train("lstm", text, out, overrides=overrides, quiet=quiet)


def same_run(a: Path, b: Path) -> None:
    for name in ("model.safetensors", "state.safetensors"):
        equal(load_file(a / name), load_file(b / name))
    timed = ("seconds", "tokens_per_second")
    records = [
        [{k: v for k, v in r.items() if k not in timed} for r in read_metrics(run)]
        for run in (a, b)
    ]
    equal(*records)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"train__accumulate": 3, "train__epochs": 5},
        {"train__stream": "windows", "model__cell": "irnn"},
        {"train__eval_every": 2, "optimizer__name": "sgd", "optimizer__momentum": 0.9},
    ],
    ids=["plain", "accumulate", "windows", "validate"],
)
def test_a_training_by_replays_is_the_same(
    settings: dict[str, Any], text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, optimizer, random state and measurements, to the last bit."""
    fit(text, tmp_path / "usual", **settings)
    recorder = Recorder()
    use(monkeypatch, recorder)
    fit(text, tmp_path / "recorded", **settings)
    assert recorder.count >= 1
    same_run(tmp_path / "usual", tmp_path / "recorded")


def test_a_training_by_replays_resumes(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients of replays that wait for their step are saved and go on."""
    settings: dict[str, Any] = {"train__accumulate": 3, "train__epochs": 4}
    fit(text, tmp_path / "usual", **settings)
    use(monkeypatch, Recorder())
    learner, calls = loop.learner, 0

    def interrupted(training: Training) -> Any:
        learn = learner(training)

        def counted(*given: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 18:
                raise KeyboardInterrupt
            return learn(*given)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(loop, "learner", interrupted)
        with pytest.raises(Interrupted):
            fit(text, tmp_path / "parts", **settings)
    assert any(name.startswith("grad.") for name in load_file(tmp_path / "parts/state.safetensors"))
    nextword.resume(tmp_path / "parts", quiet=True)
    for name in ("model.safetensors", "state.safetensors"):
        equal(load_file(tmp_path / "usual" / name), load_file(tmp_path / "parts" / name))


def test_a_training_that_cannot_be_recorded_ends(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With status 1 and one line. What was saved before is whole: going on without graphs leads to
    the weights of a training without them."""
    fit(text, tmp_path / "usual")
    out = tmp_path / "refused"
    settings = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    with monkeypatch.context() as patch:
        use(patch, Recorder(refuse=1))
        with pytest.raises(SystemExit) as end:
            main(["train", "lstm", "--train", str(text), "--out", str(out), "--quiet", *settings])
    assert end.value.code == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == f"nextword: {CANNOT.format('operation not permitted')}\n"
    nextword.resume(out, quiet=True)
    same_run(tmp_path / "usual", out)


def test_the_setting_does_nothing_on_a_cpu(
    text: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Who gives it is refused; a recipe's is noted once, and the training is the one without it."""
    with pytest.raises(InputError, match=r"train\.graphs is for --device cuda"):
        fit(text, tmp_path / "with", train__graphs=True)
    fit(text, tmp_path / "without", quiet=False)
    assert "graphs" not in capfd.readouterr().err
    recipe = tmp_path / "lstm.toml"
    own = recipe_path("lstm").read_text().replace("[train]", "[train]\ngraphs = true")
    recipe.write_text(own)
    nextword.train(str(recipe), text, tmp_path / "with", overrides=TINY)
    said = capfd.readouterr().err
    assert said.count("train.graphs is for CUDA and does nothing here") == 1
    same_run(tmp_path / "without", tmp_path / "with")
