// Sealing and opening by docs/protocol.md, with @hpke/core, @hpke/hybridkem-x-wing and node:crypto.

import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, timingSafeEqual, verify } from "node:crypto";
import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { XWing } from "@hpke/hybridkem-x-wing";
import { Refused, checkTime, encodeHeader, readHeader } from "./header.mjs";

const TAG = Buffer.from("wugan-signature-v1\0", "latin1");
const NO_QUESTION = Buffer.alloc(32);
const ENC = 1120;
const OVERHEAD = ENC + 16;
const SALT = 16;
const PART_HEAD = SALT + 4;
const FRAME_HEAD = 64 + 32 + 4;
const MAX_PARTS = 256;
const KINDS = { question: 1n, answer: 2n, delivery: 3n, receipt: 4n };
const MAX_PAYLOAD = (16 << 20) - (128 << 10);

const suite = new CipherSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
const rejected = (field = "") => new Refused("ENVELOPE_REJECTED", field);

export const unhex = (text) => Uint8Array.from(Buffer.from(text, "hex"));
export const hex = (data) => Buffer.from(data).toString("hex");
const sha256 = (data) => createHash("sha256").update(data).digest();

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex"); // RFC 8410: Ed25519 private key, seed follows
const SPKI = Buffer.from("302a300506032b6570032100", "hex"); // RFC 8410: Ed25519 public key, raw key follows

const signingKey = (seed) => createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" });
const verifyKey = (raw) => createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" });

export function bucket(size) {
  for (let padded = 1024; padded <= 65536; padded *= 2) if (size <= padded) return padded;
  return Math.ceil(size / 65536) * 65536;
}

function u32(number) {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(number);
  return out;
}

const signedBytes = (header, questionDigest, parts) =>
  Buffer.concat([TAG, u32(header.length), header, questionDigest, u32(parts.length), treeHead(parts.map(leafOf))]);

const leafOf = ({ salt, payload }) => sha256(Buffer.concat([Buffer.of(0), salt, payload]));

// RFC 9162 section 2.1.1
function treeHead(leaves) {
  if (leaves.length === 1) return leaves[0];
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(Buffer.concat([Buffer.of(1), treeHead(leaves.slice(0, split)), treeHead(leaves.slice(split))]));
}

// The parts of a frame, and where they end.
function readParts(frame) {
  const count = frame.readUInt32BE(FRAME_HEAD - 4);
  if (count === 0 || count > MAX_PARTS) throw rejected();
  const parts = [];
  let at = FRAME_HEAD;
  for (let n = 0; n < count; n++) {
    if (at + PART_HEAD > frame.length) throw rejected();
    const end = at + PART_HEAD + frame.readUInt32BE(at + SALT);
    if (end > frame.length) throw rejected();
    parts.push({ salt: frame.subarray(at, at + SALT), payload: frame.subarray(at + PART_HEAD, end) });
    at = end;
  }
  return [parts, at];
}

// `own` and every member of `keys` are entries of keys.json. `question` is {message_id, digest, recipient, purpose, parts} of the
// message that it answers, and its number of parts, null when it answers none; `peer` the TLS peer where it answers none;
// `kind` a name of KINDS.
export async function open(envelope, own, keys, { now, peer, question, kind }) {
  const { header: headerBytes, ciphertext } = envelope;
  const header = readHeader(headerBytes);
  if (header.kind !== KINDS[kind]) throw new Refused("ENVELOPE_UNSUPPORTED", "header.kind");
  if (question) {
    if (hex(header.answers_to) !== question.message_id) throw rejected("header.answers_to");
    if (header.purpose !== BigInt(question.purpose)) throw rejected("header.purpose");
  }
  checkTime(header, BigInt(now));
  if (header.recipient !== own.member_id) throw new Refused("WRONG_RECIPIENT", "header.recipient");
  if (header.encryption_key_id !== own.encryption_key_id) {
    throw new Refused("WRONG_RECIPIENT", "header.encryption_key_id");
  }
  if (header.sender !== (question ? question.recipient : peer)) throw new Refused("PEER_MISMATCH", "header.sender");
  const sender = keys.find((one) => one.member_id === header.sender);
  if (!sender) throw new Refused("STRANGER", "header.sender");
  if (sender.signing_key_id !== header.signing_key_id) throw new Refused("STRANGER", "header.signing_key_id");
  const size = ciphertext.length - OVERHEAD;
  if (size > bucket(FRAME_HEAD + MAX_PARTS * PART_HEAD + MAX_PAYLOAD)) throw new Refused("TOO_LARGE", "ciphertext");
  if (size <= 0 || bucket(size) !== size) throw new Refused("ENVELOPE_MALFORMED", "ciphertext");

  const frame = Buffer.from(await decrypt(ciphertext, own, headerBytes));
  const [parts, end] = readParts(frame);
  if (bucket(end) !== size || frame.subarray(end).some((byte) => byte !== 0)) throw rejected();
  const signature = frame.subarray(0, 64);
  const questionDigest = frame.subarray(64, 96);
  const payloads = parts.map(({ payload }) => payload);
  const signed = signedBytes(headerBytes, questionDigest, parts);
  if (!verify(null, signed, verifyKey(unhex(sender.signing_public)), signature)) throw rejected();
  if (payloads.reduce((sum, { length }) => sum + length, 0) > MAX_PAYLOAD) throw new Refused("TOO_LARGE", "payload");
  if (!timingSafeEqual(questionDigest, question ? unhex(question.digest) : NO_QUESTION)) throw rejected();
  if (question && question.parts !== payloads.length) throw rejected();
  return { header, payloads, signature, questionDigest, digest: sha256(signed) };
}

async function decrypt(ciphertext, own, info) {
  try {
    const recipientKey = await suite.kem.importKey("raw", unhex(own.decryption_seed), false);
    return await suite.open({ recipientKey, enc: ciphertext.slice(0, ENC), info }, ciphertext.slice(ENC));
  } catch {
    throw rejected();
  }
}

function uuid7(now) {
  const id = Buffer.concat([Buffer.alloc(6), randomBytes(10)]);
  id.writeUIntBE(now, 0, 6);
  id[6] = 0x70 | (id[6] & 0x0f);
  id[8] = 0x80 | (id[8] & 0x3f);
  return id;
}

// `question`: what `open` returned, when sealing its answer.
export async function seal(own, recipient, payloads, { now, purpose, question, kind }) {
  const header = {
    version: 1n,
    suite: 1n,
    message_id: uuid7(now),
    kind: KINDS[kind],
    sender: own.member_id,
    recipient: recipient.member_id,
    purpose: BigInt(purpose),
    signing_key_id: own.signing_key_id,
    encryption_key_id: recipient.encryption_key_id,
    issued_at_ms: BigInt(now),
    expires_at_ms: BigInt(now) + 60_000n,
    answers_to: question ? question.header.message_id : new Uint8Array(),
  };
  const headerBytes = encodeHeader(header);
  const questionDigest = question ? question.digest : NO_QUESTION;
  const parts = payloads.map((payload) => ({ salt: randomBytes(SALT), payload }));
  const signed = signedBytes(headerBytes, questionDigest, parts);
  const pieces = [sign(null, signed, signingKey(unhex(own.signing_seed))), questionDigest, u32(parts.length)];
  for (const { salt, payload } of parts) pieces.push(salt, u32(payload.length), payload);
  const content = Buffer.concat(pieces);
  const frame = Buffer.alloc(bucket(content.length));
  content.copy(frame);
  const recipientPublicKey = await suite.kem.importKey("raw", unhex(recipient.encryption_public), true);
  const { enc, ct } = await suite.seal({ recipientPublicKey, info: headerBytes }, Uint8Array.from(frame));
  const ciphertext = Buffer.concat([Buffer.from(enc), Buffer.from(ct)]);
  return { header: headerBytes, ciphertext, messageId: header.message_id, digest: sha256(signed) };
}
