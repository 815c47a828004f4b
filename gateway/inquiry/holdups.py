"""Why it could not be seen, or not be told, what changed about a person.

Owns: these reasons, and which error stands for which. They are kept as numbers, so a bit means the same for ever.
Refuses: words for them (`gateway.vitals.changes` has some), and waiting.
"""

from __future__ import annotations

import enum

from gateway.errors import AccessError, DirectoryError, EnvelopeError, WuganError
from wugan.federation.v1 import vocabulary_pb2 as words


class HoldUp(enum.IntFlag):
    """What held it up, when it was looked at last; several may at once."""

    DEPARTMENTS = 1
    """Departments did not answer, so that it cannot be believed that there is no news."""
    LINKS = 2
    """Those that know which numbers belong together did not: perhaps nobody subscribed for this person."""
    POLICY = 4
    """The access policy cannot be read."""
    GRANT = 8
    """No grant allows the member to be told, though its subscription is in force."""
    QUOTA = 16
    """The grant's quota is used up, or an alarm stands."""
    OUTBOX = 32
    """Too much waits to be sent to the member."""
    DIRECTORY = 64
    """The member is not in the directory in force, has no valid key there, or the directory has expired."""
    FAULT = 128
    """A fault of this gateway; the log has it."""
    OUT_OF_USE = 256
    """Less is found than was told, and a department on whose word that stands is not in use: nobody asked it."""


def held_up_by(error: WuganError) -> HoldUp:
    """What an error that came instead of an answer stands for."""
    if isinstance(error, DirectoryError | EnvelopeError):
        return HoldUp.DIRECTORY
    if error.reason == words.REFUSAL_REASON_QUOTA_EXCEEDED:
        return HoldUp.QUOTA
    if isinstance(error, AccessError):
        return HoldUp.POLICY if error.retryable else HoldUp.GRANT
    if error.reason == words.REFUSAL_REASON_NOT_SERVED:
        return HoldUp.DEPARTMENTS
    return HoldUp.FAULT
