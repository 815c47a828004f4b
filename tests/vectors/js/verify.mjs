// node verify.mjs vectors DIR   open every vector of DIR; exit 1 unless all do what they should
// node verify.mjs converse     answer the question on standard input, and ask one of its own
//
// Input of `converse`, JSON: own and partner (entries of keys.json), now_ms, purpose, header and ciphertext of the question,
// its kind (`asks`) and that of its answer (`answers`),
// and in hexadecimal the payloads of the answers and of the questions to make. Output: what was opened, and both envelopes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { open, seal, hex, unhex } from "./envelope.mjs";

const load = (path) => JSON.parse(readFileSync(path, "utf8"));
const envelopeOf = (one) => ({ header: unhex(one.header), ciphertext: unhex(one.ciphertext) });

async function outcome(vector, keys) {
  const circumstances = {
    now: vector.now_ms, peer: vector.peer, question: vector.question, kind: vector.kind,
  };
  try {
    const opened = await open(envelopeOf(vector), keys[vector.receiver], Object.values(keys), circumstances);
    return {
      payloads: opened.payloads.map(hex),
      question_digest: hex(opened.questionDigest),
      digest: hex(opened.digest),
      signature: hex(opened.signature),
    };
  } catch (error) {
    if (error.reason === undefined) throw error;
    return { refused: error.reason, field: error.field };
  }
}

async function vectors(folder) {
  const keys = load(join(folder, "keys.json"));
  const all = [...load(join(folder, "accepted.json")), ...load(join(folder, "refused.json"))];
  let wrong = 0;
  for (const vector of all) {
    const got = JSON.stringify(await outcome(vector, keys));
    const expected = JSON.stringify(vector.expected);
    if (got === expected) continue;
    wrong += 1;
    console.error(`${vector.name}: expected ${expected}, got ${got}`);
  }
  console.log(`${all.length - wrong} of ${all.length} vectors as expected`);
  return wrong === 0 ? 0 : 1;
}

async function converse() {
  const input = JSON.parse(readFileSync(0, "utf8"));
  const { own, partner, now_ms: now, purpose, asks, answers } = input;
  const from = { now, peer: partner.member_id, question: null, kind: asks };
  const received = await open(envelopeOf(input), own, [partner], from);
  const answer = await seal(own, partner, input.answer_payloads.map(unhex), { now, purpose, question: received, kind: answers });
  const question = await seal(own, partner, input.question_payloads.map(unhex), { now, purpose, question: null, kind: asks });
  const shown = ({ header, ciphertext, digest }) => ({
    header: hex(header), ciphertext: hex(ciphertext), digest: hex(digest),
  });
  console.log(JSON.stringify({ opened: received.payloads.map(hex), answer: shown(answer), question: shown(question) }));
  return 0;
}

const [command, folder] = process.argv.slice(2);
if (command === "vectors" && folder) process.exitCode = await vectors(folder);
else if (command === "converse") process.exitCode = await converse();
else {
  console.error("usage: node verify.mjs vectors DIR | converse");
  process.exitCode = 2;
}
