"""Exceptions that end a command with one sentence in place of a traceback."""


class Trouble(Exception):
    """The message names the file, what is wrong with it, and what to do. Exit code 1."""


class Usage(Trouble):
    """The command was called wrongly. Exit code 2."""
