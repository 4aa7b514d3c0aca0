"""What ends a command with one sentence in place of a traceback."""


class Trouble(Exception):
    """The message names the file, what is wrong with it, and what to do. Exit code 1."""


class Usage(Trouble):
    """The command was asked for in a way it does not understand. Exit code 2."""
