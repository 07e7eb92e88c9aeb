"""Exceptions that end a command early without being a bug."""


class InputError(Exception):
    """Some input cannot be used: a file, a setting, an argument or a run.

    The message says what is wrong and what to do. The command line prints it as one line and exits
    with status 2.
    """


class TrainingError(Exception):
    """A training cannot continue: its loss or gradient is not finite, or CUDA cannot record it.

    The message says what happened and what to do. The command line prints it as one line and exits
    with status 1.
    """


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or SIGHUP stopped a training after its state was saved.

    The message says how to continue. The command line prints it as one line and exits with status
    130.
    """


def shown(value: object, longest: int = 80) -> str:
    """A value that somebody gave, as a message shows it: in one line, without its middle if long.

    Example:
        >>> shown("a\\nb"), shown("abcdefghij", longest=6)
        ('a\\\\nb', 'abc … j')
    """
    text = str(value)
    if len(text) > longest:
        text = f"{text[: longest // 2]} … {text[-(longest // 6) :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
