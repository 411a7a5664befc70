"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """Say in one line which file, line or field is wrong, what was found and what is allowed.

    Commands print the message on stderr, without a traceback, and exit with status 2.
    """
