"""The one error that a user can cause, and so can mend."""

from __future__ import annotations


class UserError(Exception):
    """A mistake or a missing thing on the user's side.

    The text is one line: what, where, which value, what to do next. The command line prints it
    without a traceback and exits with status 1.
    """
