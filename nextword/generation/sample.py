"""Generates text token by token: each token is drawn from the model's distribution, or text is
found by beam search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from .. import bounds, registry
from ..arguments import checked, given
from ..config import parse_section
from ..errors import InputError
from ..nn import kernels
from ..run import Run
from ..state import concatenate, select
from ..types import Ability, Predictor, State
from .beam import beam_search
from .continuation import Continuation
from .sampling import Drawing, Sampling, Seen

Precision = Literal["fp32", "bf16"]  # of the weights during generation
_TYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@torch.no_grad()
def sample_ids(
    model: Predictor,
    prompt: Tensor,
    state: State,
    sampling: Sampling,
    generator: Drawing = None,
    precision: Precision = "fp32",
) -> Iterator[Tensor]:
    """Draw tokens without end: yields ids (B,), step by step, that continue `prompt` (B, T ≥ 1),
    which the model reads after `state`.

    Example:
        ids = sample_ids(model, torch.tensor([[1]]), model.start(1), Sampling())
        first, second = next(ids), next(ids)
    """
    frozen = kernels.Frozen(_type(precision))
    with frozen:
        if prompt.shape[1] > 1:
            state = model.advance(prompt[:, :-1], state)
    last = prompt[:, -1:]
    seen = Seen(sampling, prompt.tolist(), model.vocab_size)
    while True:
        with frozen:
            output = model.forward(last, state)
        state = output.state
        chosen = sampling.choose(output.logits[:, -1], generator, seen.mask)
        seen.add(chosen)
        last = chosen[:, None]
        yield chosen


def stream_text(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 100,
    sampling: Sampling | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
    precision: Precision = "fp32",
) -> Iterator[str]:
    """Yield the continuation of `prompt` piece by piece while it is drawn. It ends after `tokens`
    tokens, or before the first `stop` text.

    Raises:
        InputError: a number is out of its range, or the run does not generate text.
    """
    run.require(Ability.GENERATE)
    text = Continuation(run.tokenizer, prompt, tokens, stop)
    drawn = sample_ids(
        run.model,
        torch.tensor([text.ids], device=run.device),
        run.model.start(1),
        sampling or Sampling(),
        _generator(seed),
        precision,
    )
    while not text.over:
        yield text.add(int(next(drawn)))
    yield text.rest()


@torch.no_grad()
def sample_texts(
    run: Run,
    prompts: Sequence[str],
    *,
    tokens: int = 100,
    sampling: Sampling | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
    precision: Precision = "fp32",
) -> list[str]:
    """The continuations of several prompts; see `generate_many`. A row that has ended leaves the
    batch."""
    run.require(Ability.GENERATE)
    sampling = sampling or Sampling()
    bounds.check("the number of prompts", len(prompts), 0, bounds.SAMPLES)
    bounds.check("seed", seed, 0, bounds.SEED)
    texts = [Continuation(run.tokenizer, prompt, tokens, stop) for prompt in prompts]
    drawing = [_generator(None if seed is None else seed + i) for i in range(len(texts))]
    written = ["" for _ in texts]
    rows = [i for i, text in enumerate(texts) if not text.over]
    frozen = kernels.Frozen(_type(precision))
    states = []
    with frozen:
        for i in rows:
            read = torch.tensor([texts[i].ids[:-1]], device=run.device)
            start = run.model.start(1)
            states.append(run.model.advance(read, start) if read.numel() else start)
    state = concatenate(states) if rows else None
    last = torch.tensor([texts[i].ids[-1] for i in rows], device=run.device)
    seen = Seen(sampling, [texts[i].ids for i in rows], run.model.vocab_size)
    while rows:
        with frozen:
            output = run.model.forward(last[:, None], state)
        last = sampling.choose(output.logits[:, -1], [drawing[i] for i in rows], seen.mask)
        seen.add(last)
        for i, index in zip(rows, last.tolist(), strict=True):
            written[i] += texts[i].add(index)
        going = torch.tensor([not texts[i].over for i in rows])
        state = output.state
        if not going.all():
            kept = going.nonzero()[:, 0].to(run.device)
            last, state = last[kept], select(state, kept)
            seen.keep(kept)
            rows = [i for i, stays in zip(rows, going.tolist(), strict=True) if stays]
    return [begun + text.rest() for begun, text in zip(written, texts, strict=True)]


@checked
def generate(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 100,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
    allow_unk: bool = False,
    beam: int | None = None,
    precision: Precision | None = None,
) -> str:
    """Text that continues `prompt`, without the prompt; see `generate_many`.

    Example:
        nextword.generate(nextword.load("runs/book"), "Once upon", tokens=50, seed=1)
    """
    return generate_many(
        run,
        [prompt],
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=stop,
        allow_unk=allow_unk,
        beam=beam,
        precision=precision,
    )[0]


@checked
def generate_many(
    run: Run,
    prompts: Sequence[str],
    *,
    tokens: int = 100,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    seed: int | None = None,
    stop: Sequence[str] = (),
    allow_unk: bool = False,
    beam: int | None = None,
    precision: Precision | None = None,
) -> list[str]:
    """Texts that continue the prompts, drawn in one batch or found by beam search.

    Args:
        tokens: the most tokens of each text.
        temperature: divides the logits (None = 1); 0 = always the most probable token.
        top_k, top_p, min_p: filters of the tokens to draw from, see `Sampling`; None = none.
        repetition_penalty: the log-probability of each token that the text or the prompt has is
            multiplied by this number, 1 or more (Keskar et al. 2019, arXiv:1909.05858, section 4.1,
            where scores take the place of log-probabilities); None = 1. Line ends are exempt.
        seed: prompt i uses the seed `seed` + i, and gets the text that `generate` gives with that
            seed; None = every call differs.
        stop: a text ends before the first of these.
        allow_unk: whether `<unk>` may be generated.
        beam: search with this width for the most probable text of `tokens` tokens instead of
            drawing; the arguments of drawing cannot be given then.
        precision: "bf16" stores large weights in half the bytes; None = "fp32".

    Raises:
        InputError: a number is out of its range, the run does not generate text, or `beam` is
            given together with an argument of drawing.

    Example:
        nextword.generate_many(nextword.load("runs/book"), ["Once upon", "It was"], seed=1)
    """
    drawing = given(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
    )
    check_search(beam, [*drawing, *given(seed=seed, precision=precision)])
    if beam is not None:
        return [
            search_text(run, prompt, tokens=tokens, beam=beam, stop=stop, allow_unk=allow_unk)
            for prompt in prompts
        ]
    sampling = parse_section(Sampling, drawing | {"allow_unk": allow_unk}, "generate")
    how = precision or "fp32"
    return sample_texts(
        run, prompts, tokens=tokens, sampling=sampling, seed=seed, stop=stop, precision=how
    )


def check_search(beam: int | None, drawing: Sequence[str]) -> None:
    """Raise InputError if there is a beam and any of the options `drawing`, which are for drawing
    at random."""
    if beam is not None and drawing:
        raise InputError(
            f"a search (beam = {beam}) does not draw; leave out {' and '.join(drawing)}"
        )


@torch.no_grad()
def search_text(
    run: Run,
    prompt: str = "",
    *,
    tokens: int = 100,
    beam: int = 4,
    stop: Sequence[str] = (),
    allow_unk: bool = False,
) -> str:
    """The best continuation of `prompt` by `tokens` tokens that beam search finds; it is cut before
    the first `stop` text.

    Raises:
        InputError: a number is out of its range, or the run does not generate text.
    """
    run.require(Ability.GENERATE)
    bounds.check("beam", beam, 1, bounds.BEAM)
    text = Continuation(run.tokenizer, prompt, tokens, stop)
    if text.over:
        return ""
    state = run.model.start(1)
    if len(text.ids) > 1:
        state = run.model.advance(torch.tensor([text.ids[:-1]], device=run.device), state)
    last = torch.tensor(text.ids[-1:], device=run.device)
    found = beam_search(run.model, last, state, [tokens], beam=beam, alpha=0.0, allow_unk=allow_unk)
    pieces = []
    for index in found[0][0].ids:
        if not text.over:
            pieces.append(text.add(index))
    return "".join(pieces) + text.rest()


def _type(precision: str) -> torch.dtype:
    if precision not in _TYPES:
        raise InputError(registry.unknown("precision", precision, _TYPES))
    return _TYPES[precision]


def _generator(seed: int | None) -> torch.Generator:
    bounds.check("seed", seed, 0, 2 * bounds.SEED)  # of one of many texts: the first one's + i
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
