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
