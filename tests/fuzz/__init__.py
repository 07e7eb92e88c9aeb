"""Odd input for every reader and every verb: it works, or one line says what is wrong.

    python -m tests.fuzz                     a table: kind, cases, failed
    python -m tests.fuzz --cases 50 arpa     fewer cases, some kinds
    python -m tests.fuzz --case 17 arpa      one case, with the traceback

Cases are drawn from seeds, so the same number is the same case. Each runs in a forked process whose
memory and time are bounded.
"""
