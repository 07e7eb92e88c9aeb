"""The ways a command ends early without being a bug."""


class InputError(Exception):
    """What the user gave cannot be used; the message says what is wrong and what to do.

    The command line prints it as one line and exits with status 2.
    """


class TrainingError(Exception):
    """Training cannot go on (a loss that is not a number); the message says what was kept.

    The command line prints it as one line and exits with status 1.
    """


class Interrupted(Exception):
    """Ctrl-C came and everything is saved; the message says how to go on.

    The command line prints it as one line and exits with status 130.
    """
