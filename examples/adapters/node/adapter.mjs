// 市公墓安葬登记：用 Node.js 编写的接入程序，只依据 proto/wugan/adapter/v1。
// A city's cemeteries as an adapter in Node.js, written from proto/wugan/adapter/v1 alone. The people are made up.
//
//   npm ci && node adapter.mjs LISTEN CERTS CALLER [READY-FILE]
//   node adapter.mjs 0.0.0.0:7443 certs spiffe://demo.wugan.internal/member/11330000002482285J/gateway
//
// CERTS holds certificate.pem, key.pem and roots.pem, as `wugan certs enrol-unit` makes them.
import { once } from "node:events";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

tls.DEFAULT_MIN_VERSION = "TLSv1.3";

const here = dirname(fileURLToPath(import.meta.url));
const proto = process.env.WUGAN_PROTO ?? join(here, "..", "..", "..", "proto");
const [listen, certs, caller, readyFile] = process.argv.slice(2);
if (!caller) {
  console.error("usage: node adapter.mjs LISTEN CERTS CALLER [READY-FILE]");
  process.exit(2);
}

const ABOUT = {
  adapter_id: "burials",
  version: "1",
  department: "DEPARTMENT_CIVIL_AFFAIRS",
  regions: [330700],
  items: [{ kind: "EVIDENCE_KIND_BURIAL", strength: "STRENGTH_REAL_NAME", freshness_days: 30 }],
  links: false,
  max_batch: 10_000,
  changes: false,
};
const MESSAGE_ROWS = 5_000;
const MESSAGE_BYTES = 4 * 1024 * 1024;

const register = JSON.parse(readFileSync(join(here, "register.json"), "utf8"));
const buried = new Map(register.map((row) => [row.id_number, row]));
/** A civil day, counted from 1970-01-01. */
const dayOf = (text) => Date.parse(`${text}T00:00:00Z`) / 86_400_000;

/** The one gateway that may call, by the one URI name in its certificate. */
function mayCall(call) {
  const names = call.getAuthContext().sslPeerCertificate?.subjectaltname ?? "";
  const uris = names.split(", ").filter((name) => name.startsWith("URI:"));
  return uris.length === 1 && uris[0] === `URI:${caller}`;
}

const refusal = { code: grpc.status.PERMISSION_DENIED, details: "only the gateway may call" };

/** Whether the columns of a question fit each other, and how many people it is about. */
function problemOf(subjects) {
  const people = subjects.id_number.length;
  if (people > ABOUT.max_batch) return `at most ${ABOUT.max_batch} people in one lookup`;
  if (subjects.name.length !== people) return "columns of subjects differ in length";
  if (subjects.alias_subject.length !== subjects.alias_id_number.length) return "aliases differ in length";
  if (subjects.alias_subject.some((row) => row >= people)) return "alias_subject is out of range";
  return "";
}

/** Every number asked of a person, aliases included, each once: pairs of row and number. */
function* asked(subjects) {
  for (const [row, number] of subjects.id_number.entries()) yield [row, number];
  const seen = new Set();
  for (const [at, row] of subjects.alias_subject.entries()) {
    const number = subjects.alias_id_number[at];
    if (number === subjects.id_number[row] || seen.has(`${row} ${number}`)) continue;
    seen.add(`${row} ${number}`);
    yield [row, number];
  }
}

/** Empty columns of one message. */
const columns = () => ({
  holders: { subject: [], held_id_number: [], held_name: [] },
  evidence: {
    subject: [], kind: [], department: [], region: [], observed_on: [], available_on: [], strength: [],
    source_reference: [], detail: [], from_on: [], until_on: [],
  },
});

function add(message, row, found, { kinds }) {
  message.holders.subject.push(row);
  message.holders.held_id_number.push(found.id_number);
  message.holders.held_name.push(found.name);
  // Whoever is known is told of, whatever kinds are wanted. Burials are events: no `traces_since_on` leaves them out.
  if (kinds.length > 0 && !kinds.includes("EVIDENCE_KIND_BURIAL")) return;
  const evidence = message.evidence;
  evidence.subject.push(row);
  evidence.kind.push("EVIDENCE_KIND_BURIAL");
  evidence.department.push(ABOUT.department);
  evidence.region.push(330700);
  evidence.observed_on.push(dayOf(found.buried_on));
  evidence.available_on.push(dayOf(found.entered_on));
  evidence.strength.push("STRENGTH_REAL_NAME");
  evidence.source_reference.push(found.no);
  for (const column of ["detail", "from_on", "until_on"]) evidence[column].push(0);
}

async function answer(call) {
  const { subjects, ...question } = call.request;
  let message = columns();
  if (subjects) {
    for (const [row, number] of asked(subjects)) {
      if (call.cancelled) return; // the gateway gave up, or its deadline passed
      const found = buried.get(number);
      if (found) add(message, row, found, question);
      if (message.holders.subject.length === MESSAGE_ROWS) {
        // Backpressure: go on when the gateway has taken what was sent.
        if (!call.write(message)) await Promise.race([once(call, "drain"), once(call, "cancelled")]);
        message = columns();
      }
    }
  }
  call.write({ ...message, last: true });
  call.end();
}

const service = {
  Describe: (call, done) => (mayCall(call) ? done(null, ABOUT) : done(refusal)),
  Check: (call, done) => (mayCall(call) ? done(null, { ready: true }) : done(refusal)),
  Changes: (call) => call.emit("error", { code: grpc.status.UNIMPLEMENTED, details: "no changes are told" }),
  Lookup: (call) => {
    if (!mayCall(call)) return call.emit("error", refusal);
    const problem = call.request.subjects ? problemOf(call.request.subjects) : "";
    if (problem) return call.emit("error", { code: grpc.status.INVALID_ARGUMENT, details: problem });
    // What went wrong is logged by its kind alone: its text may hold what was being handled.
    return answer(call).catch((error) => {
      console.error(`lookup failed: ${error.name}`);
      call.emit("error", { code: grpc.status.INTERNAL, details: "the adapter failed" });
    });
  },
};

const definition = loader.loadSync("wugan/adapter/v1/adapter.proto", {
  includeDirs: [proto], keepCase: true, enums: String, defaults: true, arrays: true,
});
const { AdapterService } = grpc.loadPackageDefinition(definition).wugan.adapter.v1;
const server = new grpc.Server({
  "grpc.max_receive_message_length": MESSAGE_BYTES,
  "grpc.max_send_message_length": MESSAGE_BYTES,
});
server.addService(AdapterService.service, service);
const file = (name) => readFileSync(join(certs, name));
const pair = { cert_chain: file("certificate.pem"), private_key: file("key.pem") };
const credentials = grpc.ServerCredentials.createSsl(file("roots.pem"), [pair], true);
server.bindAsync(listen, credentials, (error, port) => {
  if (error) {
    console.error(error.message);
    process.exit(2);
  }
  const address = `${listen.slice(0, listen.lastIndexOf(":"))}:${port}`;
  console.log(`serving burials at ${address}`);
  if (readyFile) {
    writeFileSync(`${readyFile}.part`, JSON.stringify({ adapter: address, pid: process.pid }));
    renameSync(`${readyFile}.part`, readyFile);
  }
});
process.on("SIGTERM", () => {
  if (readyFile) rmSync(readyFile, { force: true });
  server.tryShutdown(() => process.exit(0));
});
