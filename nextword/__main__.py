"""`python -m nextword` is the command `nextword`."""

from .cli.main import main

main()
