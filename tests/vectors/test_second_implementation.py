"""A second implementation, in JavaScript and on other libraries, agrees with the gateway: on every vector, and in talk.

Needs Node 20 or newer and npm, which fetches the packages pinned in tests/vectors/js/package-lock.json.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.exchange.envelope import open_answer, open_delivery, open_question, open_receipt, seal
from gateway.exchange.keys import DecryptionKey, EncryptionKey, OwnKeys, SigningKey, VerifyKey
from tests.needs import require_node
from wugan.adapter.v1 import vocabulary_pb2 as vocabulary
from wugan.federation.v1 import envelope_pb2 as wire

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
NOW_MS = 1_795_000_000_000
PURPOSE = vocabulary.PURPOSE_CERTIFICATION
KEYS: dict[str, dict[str, str]] = json.loads((HERE / "envelope" / "keys.json").read_text(encoding="utf-8"))


def run(*command: str, cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of tests/vectors/js with its packages installed."""
    require_node()
    folder = tmp_path_factory.mktemp("second") / "js"
    shutil.copytree(HERE / "js", folder, ignore=shutil.ignore_patterns("node_modules"))
    run("npm", "ci", "--ignore-scripts", cwd=folder)
    return folder


def test_it_agrees_on_every_vector(node: Path) -> None:
    count = sum(
        len(json.loads((HERE / "envelope" / name).read_text(encoding="utf-8")))
        for name in ("accepted.json", "refused.json")
    )
    printed = run("node", "verify.mjs", "vectors", str(HERE / "envelope"), cwd=node)
    assert printed.strip() == f"{count} of {count} vectors as expected"


class PartnerRing:
    """The directory of the talk: the second implementation, which is B."""

    def verify_key(self, member_id: str, key_id: str, at_ms: int) -> VerifyKey:
        assert (member_id, key_id) == (KEYS["b"]["member_id"], KEYS["b"]["signing_key_id"])
        return VerifyKey.from_raw(bytes.fromhex(KEYS["b"]["signing_public"]))

    def encryption_key(self, member_id: str, at_ms: int) -> EncryptionKey:
        return EncryptionKey.from_raw(bytes.fromhex(KEYS["b"]["encryption_public"]))


def envelope_of(shown: dict[str, Any]) -> wire.Envelope:
    return wire.Envelope(header=bytes.fromhex(shown["header"]), ciphertext=bytes.fromhex(shown["ciphertext"]))


@pytest.mark.parametrize(
    ("size", "parts", "asks", "answers"),
    [
        (0, 1, "question", "answer"),
        (5, 1, "question", "answer"),
        (925, 3, "question", "answer"),
        (70_000, 2, "question", "answer"),
        (1, 256, "question", "answer"),
        (300, 4, "delivery", "receipt"),
    ],
)
def test_it_opens_what_the_gateway_seals_and_the_gateway_what_it_seals(
    node: Path, size: int, parts: int, asks: str, answers: str
) -> None:
    keys, ring = KEYS["a"], PartnerRing()
    own = OwnKeys.of(
        keys["member_id"],
        SigningKey.from_seed(bytes.fromhex(keys["signing_seed"])),
        DecryptionKey.from_seed(bytes.fromhex(keys["decryption_seed"])),
    )
    partner_id = KEYS["b"]["member_id"]
    asked = seal(
        own,
        partner_id,
        ring.encryption_key(partner_id, NOW_MS),
        kind=wire.MessageKind.Value(f"MESSAGE_KIND_{asks.upper()}"),
        purpose=PURPOSE,
        payloads=[b"q" * size] * parts,
        now_ms=NOW_MS,
        lifetime_ms=60_000,
    )
    request = {
        "own": KEYS["b"],
        "partner": keys,
        "now_ms": NOW_MS,
        "purpose": PURPOSE,
        "asks": asks,
        "answers": answers,
        "header": asked.envelope.header.hex(),
        "ciphertext": asked.envelope.ciphertext.hex(),
        "answer_payloads": [(b"a" * size).hex()] * parts,
        "question_payloads": [(b"Q" * size).hex()] * parts,
    }
    said = json.loads(run("node", "verify.mjs", "converse", cwd=node, stdin=json.dumps(request)))
    assert said["opened"] == [(b"q" * size).hex()] * parts
    if answers == "receipt":
        answer = open_receipt(envelope_of(said["answer"]), own, ring, delivery=asked, now_ms=NOW_MS)
    else:
        answer = open_answer(envelope_of(said["answer"]), own, ring, question=asked, now_ms=NOW_MS)
    assert answer.payloads == (b"a" * size,) * parts
    assert answer.digest.hex() == said["answer"]["digest"]
    opens = open_delivery if asks == "delivery" else open_question
    question = opens(envelope_of(said["question"]), own, ring, now_ms=NOW_MS, expect_sender=partner_id)
    assert question.payloads == (b"Q" * size,) * parts
    assert question.digest.hex() == said["question"]["digest"]


def test_its_lock_file_pins_every_package_by_digest_and_names_no_registry() -> None:
    packages = json.loads((HERE / "js" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    for name, package in packages.items():
        assert "resolved" not in package
        assert not name or package["integrity"].startswith("sha512-")
