"""Sealing and opening one question of 300 bytes, against the sum of the primitives they are made of.

Both in one process and one call, in short alternating rounds, so that they share whatever else the machine does; a
figure is the median over the rounds. Figures: `seal_ratio` and `open_ratio` (rate of ours over rate of the primitives
alone), `ratio` (the smaller of the two, goal at least 0.8), `seal_per_s` and `open_per_s` on one core.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable

from bench.baselines.envelope_primitives import Primitives
from bench.report import Figures, table
from gateway.exchange import frame
from gateway.exchange.envelope import Opened, Sealed, open_question, seal
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from gateway.exchange.suites import SUITE_1
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire

PAYLOAD_BYTES = 300
LIFETIME_MS = 300_000
MESSAGES = 32
ROUNDS = 200
WARM_UP_ROUNDS = 10


class TwoMembers:
    """A seals, B opens; also the directory, which knows A."""

    def __init__(self) -> None:
        self._a = OwnKeys.of("11330000MB1A00001A", *_fresh())
        self._b = OwnKeys.of("11340000MB1B00002B", *_fresh())
        (held,) = self._b.decryption.values()
        self._encryption = EncryptionKey.from_raw(held.public_raw)
        self._verification = {self._a.signing.key_id: VerifyKey.from_raw(self._a.signing.public_raw)}
        self._payloads = itertools.cycle([os.urandom(PAYLOAD_BYTES) for _ in range(MESSAGES)])
        self.sealed = [self.seal() for _ in range(MESSAGES)]
        self._envelopes = itertools.cycle([one.envelope for one in self.sealed])

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        """A's key."""
        return self._verification[key_id]

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        """B's key."""
        return self._encryption

    def seal(self) -> Sealed:
        """The next question, sealed by A to B."""
        return seal(
            self._a,
            self._b.member_id,
            self._encryption,
            kind=wire.MESSAGE_KIND_QUESTION,
            purpose=vocabulary.PURPOSE_CERTIFICATION,
            payloads=[next(self._payloads)],
            now_ms=time.time_ns() // 1_000_000,
            lifetime_ms=LIFETIME_MS,
        )

    def open(self) -> Opened:
        """The next question, opened by B."""
        now_ms = time.time_ns() // 1_000_000
        return open_question(next(self._envelopes), self._b, self, now_ms=now_ms, expect_sender=self._a.member_id)


def main() -> Figures:
    """Run, print a table, return the figures."""
    members = TwoMembers()
    envelope = members.sealed[0].envelope
    header_bytes = len(envelope.header)
    primitives = Primitives(
        messages=MESSAGES,
        signed_bytes=len(frame.signed_bytes(envelope.header, frame.NO_QUESTION, 1, bytes(32))),
        frame_bytes=frame.frame_bytes(SUITE_1.signature_bytes, 1, PAYLOAD_BYTES),
        info_bytes=header_bytes,
    )
    if len(primitives.seal()[1]) != len(envelope.ciphertext):
        raise AssertionError("the baseline does not work on the sizes of the envelope")
    ours_seal, bare_seal, ours_open, bare_open = _alternate(
        members.seal, primitives.seal, members.open, primitives.open
    )
    figures = {
        "seal_ratio": statistics.median(bare / ours for ours, bare in zip(ours_seal, bare_seal, strict=True)),
        "open_ratio": statistics.median(bare / ours for ours, bare in zip(ours_open, bare_open, strict=True)),
        "seal_per_s": 1 / statistics.median(ours_seal),
        "open_per_s": 1 / statistics.median(ours_open),
    }
    figures = {"ratio": min(figures["seal_ratio"], figures["open_ratio"]), **figures}
    table(
        f"envelope ({PAYLOAD_BYTES}-byte question, one core)",
        ("", "ours, µs", "primitives, µs", "ours, /s", "ratio", "goal"),
        [
            (
                what,
                f"{statistics.median(ours) * 1e6:.1f}",
                f"{statistics.median(bare) * 1e6:.1f}",
                f"{figures[f'{what}_per_s']:.0f}",
                f"{figures[f'{what}_ratio']:.3f}",
                ">= 0.8",
            )
            for what, ours, bare in (("seal", ours_seal, bare_seal), ("open", ours_open, bare_open))
        ],
    )
    return figures


def _fresh() -> tuple[SigningKey, DecryptionKey]:
    return SigningKey.from_seed(os.urandom(32)), DecryptionKey.from_seed(os.urandom(32))


def _alternate(*calls: Callable[[], object]) -> list[list[float]]:
    """Seconds a call, for each of `calls` and round."""
    times: list[list[float]] = [[] for _ in calls]
    for round_number in range(WARM_UP_ROUNDS + ROUNDS):
        for call, taken in zip(calls, times, strict=True):
            began = time.perf_counter()
            for _ in range(MESSAGES):
                call()
            if round_number >= WARM_UP_ROUNDS:
                taken.append((time.perf_counter() - began) / MESSAGES)
    return times
