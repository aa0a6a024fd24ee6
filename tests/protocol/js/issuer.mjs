// The checks of an issuer on one request, and of a terminal on epochs and decisions, in the order of the guide.

import { X509Certificate, webcrypto } from "node:crypto";
import { context, digest, hex, inspect, open, parse, Refused, verify } from "./cose.mjs";

const EVIDENCE_USAGE = "2.25.208417370614593012117190346286352917241.1";
const VERSION = -75000;

/** Required claims of rule `request` and what they are. */
const CLAIMS = [
  [3, "string"], [6, "number"], [7, "bytes"], [10, "bytes"], [256, "bytes"], [265, "string"], [270, "string"],
  [271, "string"], [-75001, "string"], [-75002, "number"], [-75007, "array"], [-75008, "map"], [-75009, "map"],
  [-75010, "string"], [-75011, "string"],
];
const OPTIONAL = new Set([-75004, -75005, -75006]);

function kindOf(value) {
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof Map) return "map";
  return Array.isArray(value) ? "array" : typeof value;
}

/** A message's claims: version first, then shape. A newer minor version may bring claims of its own. */
function claims(data, required, optional) {
  const map = parse(data);
  if (!(map instanceof Map)) throw new Refused("malformed");
  const version = map.get(VERSION);
  if (!Array.isArray(version) || version.length !== 2 || version[0] !== 1) throw new Refused("version");
  for (const [key, kind] of required) {
    if (kindOf(map.get(key)) !== kind) throw new Refused("malformed");
  }
  const known = new Set([VERSION, ...required.map(([key]) => key), ...optional]);
  if (version[1] === 0 && [...map.keys()].some((key) => !known.has(key))) throw new Refused("malformed");
  return map;
}

/** Terminal, UEID and key of the leaf of a chain, if the enrolment authority vouches for it at `at` (seconds). */
export async function attester(chain, authority, at) {
  if (chain.length !== 1) throw new Refused("chain");
  let leaf;
  try {
    leaf = new X509Certificate(chain[0]);
  } catch {
    throw new Refused("chain");
  }
  const when = at * 1000;
  const current = [leaf, authority].every((c) => Date.parse(c.validFrom) <= when && when <= Date.parse(c.validTo));
  const issued = authority.ca && leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
  if (!current || !issued || !(leaf.keyUsage ?? []).includes(EVIDENCE_USAGE)) throw new Refused("chain");
  const subject = new Map(leaf.subject.split("\n").map((line) => line.split("=")));
  return { terminal: subject.get("CN"), ueid: subject.get("serialNumber"), key: await deviceKey(leaf) };
}

/** The key of a device's certificate. SM2 is optional, and not among what this verifier takes. */
async function deviceKey(leaf) {
  try {
    const der = leaf.publicKey.export({ type: "spki", format: "der" });
    const edwards = leaf.publicKey.asymmetricKeyType === "ed25519";
    const how = edwards ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256" };
    return await webcrypto.subtle.importKey("spki", der, how, true, ["verify"]);
  } catch {
    throw new Refused("suite");
  }
}

/** Open and verify a request that came on the topic of `terminal`. Returns the claims and the holder's data. */
export async function readRequest(sealed, { issuer, terminal, correlation, recipient, authority, at, epochs }) {
  const aad = context("request", issuer, terminal);
  const content = parse(await open(sealed, recipient, aad));
  if (!Array.isArray(content) || content.length !== 2 || !(content[0] instanceof Uint8Array)) throw new Refused("malformed");
  const [token, holder] = content;
  const device = await attester(inspect(token).chain, authority, at);
  if (device.terminal !== terminal) throw new Refused("context");
  const request = claims(await verify(token, device.key, aad), CLAIMS, OPTIONAL);
  const named = holder === null ? "" : hex(await digest(holder));
  const belongs =
    request.get(3) === issuer &&
    request.get(-75001) === terminal &&
    hex(request.get(256)) === device.ueid &&
    hex(request.get(7)) === hex(correlation) &&
    hex(request.get(-75005)) === named;
  if (!belongs) throw new Refused("context");
  if (!epochs.includes(hex(request.get(10)))) throw new Refused("epoch");
  return { request, holder: holder === null ? null : parse(holder) };
}

export async function readEpoch(data, { issuer, key }) {
  const required = [[1, "string"], [6, "number"], [10, "bytes"], [-75030, "number"], [-75031, "number"]];
  return claims(await verify(data, key, context("epoch", "*", issuer)), required, []);
}

export async function readDecision(data, { issuer, terminal, key }) {
  const required = [
    [1, "string"], [6, "number"], [7, "bytes"], [10, "bytes"], [-75001, "string"], [-75020, "bytes"],
    [-75022, "string"], [-75023, "array"],
  ];
  const decision = claims(await verify(data, key, context("decision", terminal, issuer)), required, [-75021]);
  if (decision.get(1) !== issuer || decision.get(-75001) !== terminal) throw new Refused("context");
  return decision;
}
