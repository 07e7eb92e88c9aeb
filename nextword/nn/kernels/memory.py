"""Keep freed memory instead of handing it back to the system.

A training step frees and asks for the same large buffers (logits, gates) again and again. By
default glibc returns each to the system and gets it back as pages to be zeroed: on small models a
third of the time. Keeping them costs nothing but the peak the process had anyway.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc so; False where the C library is another one. Holds for the whole process."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
