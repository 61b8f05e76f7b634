"""Everything that can go wrong in a way the user can do something about.

Every message is one line that names what is wrong and what would be right; `cli` prints it and
picks the exit code from the kind.
"""

from __future__ import annotations


class NstVideoError(Exception):
    """Base of all expected failures. `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(NstVideoError):
    """The input or an option cannot be used; nothing has been written."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is out of its bounds or does not fit another one."""


class SourceError(UsageError):
    """A content picture, style picture or clip cannot be read."""


class WeightsError(UsageError):
    """A weight file is missing, damaged or of another network."""


class SinkError(UsageError):
    """The output cannot be written where it was asked for; found before the work starts."""


class WorkError(NstVideoError):
    """Something failed while working: a decoder or encoder died, the disk is full."""
