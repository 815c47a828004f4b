// The header, read by hand from its protobuf encoding and as strictly as docs/protocol.md asks.

export class Refused extends Error {
  constructor(reason, field = "") {
    super(`${reason} ${field}`);
    this.reason = reason;
    this.field = field;
  }
}

const NAMES = [
  undefined, "version", "suite", "message_id", "kind", "sender", "recipient", "purpose", "signing_key_id",
  "encryption_key_id", "issued_at_ms", "expires_at_ms", "answers_to",
];
const TYPES = {
  version: "uint32", suite: "enum", message_id: "bytes", kind: "enum", sender: "string", recipient: "string",
  purpose: "enum", signing_key_id: "string", encryption_key_id: "string", issued_at_ms: "int64", expires_at_ms: "int64",
  answers_to: "bytes",
};
const MEMBER_ID = /^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}$/;
const KEY_ID = /^[0-9a-f]{32}$/;
const SKEW_MS = 120_000n;
const MAX_LIFE_MS = 300_000n;

const malformed = (field) => new Refused("ENVELOPE_MALFORMED", field);

// A varint in its shortest form, as an unsigned 64-bit number, and where it ends.
function varint(data, start) {
  let value = 0n;
  for (let i = start; i < start + 10; i++) {
    if (i >= data.length) throw malformed("header");
    const part = BigInt(data[i] & 0x7f);
    value |= part << BigInt(7 * (i - start));
    if (data[i] < 0x80) {
      if ((part === 0n && i > start) || value >= 1n << 64n) throw malformed("header");
      return [value, i + 1];
    }
  }
  throw malformed("header");
}

function scalar(type, value) {
  const signed = BigInt.asIntN(64, value);
  if (value === 0n) throw malformed("header");
  if (type === "uint32" && value >= 1n << 32n) throw malformed("header");
  if (type === "enum" && BigInt.asIntN(32, signed) !== signed) throw malformed("header");
  return type === "uint32" ? value : signed;
}

function parse(data) {
  if (data.length === 0 || data.length > 1024) throw malformed("header");
  const header = {
    version: 0n, suite: 0n, message_id: new Uint8Array(), kind: 0n, sender: "", recipient: "", purpose: 0n,
    signing_key_id: "", encryption_key_id: "", issued_at_ms: 0n, expires_at_ms: 0n, answers_to: new Uint8Array(),
  };
  const seen = new Set();
  let at = 0;
  while (at < data.length) {
    let tag;
    [tag, at] = varint(data, at);
    const name = NAMES[Number(tag >> 3n)];
    const type = TYPES[name];
    const wire = type === "bytes" || type === "string" ? 2n : 0n;
    if (!name || seen.has(name) || (tag & 7n) !== wire) throw malformed("header");
    seen.add(name);
    let value;
    [value, at] = varint(data, at);
    if (wire === 0n) {
      header[name] = scalar(type, value);
      continue;
    }
    const end = at + Number(value);
    if (value === 0n || end > data.length) throw malformed("header");
    const cell = data.slice(at, end);
    at = end;
    try {
      header[name] = type === "bytes" ? cell : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(cell);
    } catch {
      throw malformed("header");
    }
  }
  return header;
}

// Unix milliseconds of a UUIDv7, or null.
function timeOf(id) {
  if (id.length !== 16 || id[6] >> 4 !== 7 || id[8] >> 6 !== 2) return null;
  return BigInt("0x" + Buffer.from(id.slice(0, 6)).toString("hex"));
}

// Rules 1 to 4 of the header.
export function readHeader(data) {
  const header = parse(data);
  if (header.version !== 1n) throw new Refused("ENVELOPE_UNSUPPORTED", "header.version");
  if (header.suite !== 1n) throw new Refused("ENVELOPE_UNSUPPORTED", "header.suite");
  if (header.kind < 1n || header.kind > 4n) throw new Refused("ENVELOPE_UNSUPPORTED", "header.kind");
  if (timeOf(header.message_id) !== header.issued_at_ms) throw malformed("header.message_id");
  const answers = timeOf(header.answers_to) !== null;
  if (header.kind === 2n || header.kind === 4n ? !answers : header.answers_to.length > 0) throw malformed("header.answers_to");
  if (!MEMBER_ID.test(header.sender)) throw malformed("header.sender");
  if (!MEMBER_ID.test(header.recipient) || header.recipient === header.sender) throw malformed("header.recipient");
  if (header.purpose < 1n || header.purpose > 5n) throw malformed("header.purpose");
  if (!KEY_ID.test(header.signing_key_id)) throw malformed("header.signing_key_id");
  if (!KEY_ID.test(header.encryption_key_id)) throw malformed("header.encryption_key_id");
  return header;
}

// Rule 5 of the header.
export function checkTime(header, now) {
  const life = header.expires_at_ms - header.issued_at_ms;
  if (life <= 0n || life > MAX_LIFE_MS) throw malformed("header.expires_at_ms");
  if (header.issued_at_ms > now + SKEW_MS) throw new Refused("ENVELOPE_EXPIRED", "header.issued_at_ms");
  if (now > header.expires_at_ms + SKEW_MS) throw new Refused("ENVELOPE_EXPIRED", "header.expires_at_ms");
}

function encodeVarint(value) {
  const out = [];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    if (rest < 0x80n) return [...out, Number(rest)];
    out.push(Number(rest & 0x7fn) | 0x80);
  }
}

export function encodeHeader(header) {
  const out = [];
  NAMES.forEach((name, number) => {
    if (!name) return;
    const value = header[name];
    if (typeof value === "bigint") {
      if (value !== 0n) out.push(...encodeVarint(BigInt(number) << 3n), ...encodeVarint(value));
    } else if (value.length > 0) {
      const cell = Buffer.from(value);
      out.push(...encodeVarint((BigInt(number) << 3n) | 2n), ...encodeVarint(BigInt(cell.length)), ...cell);
    }
  });
  return Uint8Array.from(out);
}
