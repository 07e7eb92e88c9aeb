"""Makes the C library keep freed memory instead of returning it to the system.

Every training step allocates and frees the same large buffers (logits, gates). By default glibc
returns each to the system and gets it back as new pages, which the system fills with zeros; with
small models this takes much of the time. If freed memory is kept, the process stays at its peak
size.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of `mallopt`, from malloc.h


def keep_freed_memory() -> bool:
    """Configure glibc for the whole process. Returns False if the C library is another one."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
