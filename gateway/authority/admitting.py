"""Who is a member: taking members in, changing what is said of them, taking them out, letting a gateway in again.

Owns: these acts of an administrator, each under the lock of the folder, judged and published, and the tokens with which
members enrol. Refuses: taking back single certificates and keys (`gateway.authority.revoking`), and what members
publish themselves (`gateway.authority.listening`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from cryptography import x509

from certs.identity import Identity
from certs.records import Token
from gateway.authority import entries, issuers
from gateway.authority.accepting import Accepting, no_member
from gateway.authority.membership import Row
from gateway.authority.taken_back import translated
from wugan.federation.v1 import directory_pb2


class Admitting(Accepting):
    """See the module."""

    def members(self) -> list[directory_pb2.Member]:
        """Every member's entry."""
        with self._alone():
            return [row.entry for row in self._membership.rows().values()]

    def entry(self, member_id: str) -> directory_pb2.Member:
        """What the directory says of a member.

        Raises:
            ConfigError: there is no such member.
        """
        with self._alone():
            row = self._membership.row(member_id)
            if row is None:
                raise no_member()
            return row.entry

    def make_token(self, holder: Identity, lifetime: dt.timedelta) -> Token:
        """A one-time token with which a member's gateway, agency or department enrols.

        Raises:
            ConfigError: there is no such member, or the lifetime is not within 30 days.
            StoreError: it cannot be recorded.
        """
        with self._alone():
            if self._membership.row(holder.member_id) is None:
                raise no_member()
            with translated():
                return self.authority.ledger.tokens.make(holder, self.now(), lifetime)

    def add(self, *members: directory_pb2.Member) -> int:
        """Take members in, or change what is said of them; the keys one has published stay, unless some are given.

        Returns:
            The version of the directory that says so.

        Raises:
            DirectoryError: an entry breaks the rule; it and those after it were not taken.
        """
        with self._alone():
            for entry in members:
                held = self._membership.row(entry.member_id)
                given = entry.signing_keys or entry.encryption_keys
                wanted = entries.with_keys_of(entry, held.entry) if held is not None and not given else entry
                self._admit(wanted)
                with self._changing():
                    self._membership.put(replace(held, entry=wanted, version=0) if held else Row(wanted, 0, b"", 0))
            return self._publish()

    def remove(self, member_id: str, *, reason: int = issuers.CESSATION) -> int:
        """Take a member out, with every certificate and token that it, its agencies and its departments have, and with
        its own CAs.

        From the next directory on nobody answers it, and nothing of it is answered. If it comes back, it enrols anew.

        Args:
            member_id: which.
            reason: CRLReason of its certificates.

        Raises:
            ConfigError: there is no such member, and never was one.
        """
        with self._alone():
            now = self.now()
            with translated():
                self._revocation.revoke_member(member_id, issuers.REASONS[reason], now)
                known = self.authority.ledger.revoked(now, member_id=member_id)
            row = self._membership.row(member_id)
            own = any(ca.member_id == member_id for ca in self._membership.accepted())
            if row is None and not known and not own:
                raise no_member()
            with self._changing():
                self._drop_of(member_id)
                self._membership.remove(member_id)
            return self._publish()

    def readmit(self, member_id: str, *, reason: int) -> int:
        """Forget all that a member's gateway has published, with its certificates and tokens; it is to enrol anew.

        For a gateway whose keys are stolen, or gone together with their journal: what it would publish next is then
        neither shown with a listed certificate nor counted on. Certificates of agencies and departments stay.

        The CAs that the member runs itself are taken back too, with all that they issued, unless the reason says that
        nothing was stolen: whoever has a key could have had others certified there, and it is not known here which.

        Args:
            member_id: which.
            reason: CRLReason of its certificates.

        Raises:
            ConfigError: there is no such member.
        """
        with self._alone():
            if self._membership.row(member_id) is None:
                raise no_member()
            ledger, holder = self.authority.ledger, Identity.gateway(self.settings.federation, member_id)
            with translated(), ledger.together():
                ledger.tokens.cancel_holder(holder)
                for each in ledger.held(holder, self.now()):
                    self._revocation.revoke(each.serial, issuers.REASONS[reason], self.now())
            with self._changing():
                self._forget(member_id, stolen=reason != issuers.SUPERSEDED)
            return self._publish()

    def _forget(self, member_id: str, *, stolen: bool) -> None:
        """Within a change: what a member has published, what is listed of its own CAs' certificates, and those."""
        row = self._membership.row(member_id)
        if row is None:
            return
        if stolen:
            self._drop_of(member_id)
        else:
            for der in entries.certificates(row.entry):
                self._take_back_vouched(x509.load_der_x509_certificate(der), issuers.SUPERSEDED)
        self._membership.put(Row(entries.without_keys(row.entry), 0, b"", 0))
