"""The device that a model runs on, and the precision that it multiplies fast in."""

from __future__ import annotations

from dataclasses import replace

from .config import Config
from .errors import InputError


def pick_device(name: str) -> str:
    """Return the name of a device ("cpu", "cuda" or "cuda:N"); raise InputError without it."""
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise InputError(f"unknown device '{name}'; there are: cpu, cuda")
    if kind == "cuda":
        import torch

        if int(index or 0) >= torch.cuda.device_count():
            raise InputError(f"no CUDA device '{name}' is available here; use --device cpu")
    return name


def multiplies_bf16(where: str) -> bool:
    """Return whether a device has bfloat16 instructions; products are slow without them."""
    import torch

    if where.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, lambda: False)()) for name in checks)


def resolve_precision(config: Config, where: str) -> Config:
    """Replace train.precision=auto by the precision that it means on a device."""
    if config.train.precision != "auto":
        return config
    precision = "bf16" if multiplies_bf16(where) else "fp32"
    return replace(config, train=config.train.model_copy(update={"precision": precision}))
