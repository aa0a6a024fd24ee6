// COSE_Sign1 and COSE_Encrypt0 (RFC 9052) as contract.cddl uses them, on Web Crypto, @hpke/core and cborg.
// Written from contract.cddl and docs/integrator.md, not from the Python code: it has to agree with both.

import { webcrypto } from "node:crypto";
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from "@hpke/core";
import { decode, encode } from "cborg";

const ES256 = -7;
const EDDSA = -8;
const HPKE_7 = 45;
// Node 18 (Debian 12) keeps its Web Crypto out of the global scope.
globalThis.crypto ??= webcrypto;
const subtle = webcrypto.subtle;
const suite = new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });

/** A message that is refused; `fault` is the reason. */
export class Refused extends Error {
  constructor(fault) {
    super(fault);
    this.fault = fault;
  }
}

/** One CBOR item; tags 16 and 18 only, no indefinite lengths, no double keys. */
export function parse(data) {
  const tags = [];
  tags[16] = (value) => ({ tag: 16, value });
  tags[18] = (value) => ({ tag: 18, value });
  try {
    return decode(data, { useMaps: true, strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true, tags });
  } catch {
    throw new Refused("malformed");
  }
}

/** The external additional data of a message (rule `context`). */
export function context(kind, audience, subject) {
  return encode(["renzheng", 1, kind, audience, subject]);
}

function layer(data, tag, length) {
  const message = parse(data);
  const parts = message?.value;
  const shaped = message?.tag === tag && Array.isArray(parts) && parts.length === length;
  if (!shaped || !(parts[0] instanceof Uint8Array) || !(parts[1] instanceof Map) || !(parts[2] instanceof Uint8Array)) {
    throw new Refused("malformed");
  }
  const header = parse(parts[0]);
  if (!(header instanceof Map)) throw new Refused("malformed");
  if (typeof header.get(1) !== "number") throw new Refused("algorithm");
  return { header, parts };
}

/** Certificates of x5chain (leaf first) and kid of a COSE_Sign1. */
export function inspect(data) {
  const { header } = layer(data, 18, 4);
  const chain = header.get(33) ?? [];
  return { algorithm: header.get(1), kid: header.get(4), chain: Array.isArray(chain) ? chain : [chain] };
}

/** The payload of a COSE_Sign1 by `key` (a Web Crypto public key). */
export async function verify(data, key, aad) {
  const { header, parts } = layer(data, 18, 4);
  const algorithm = key.algorithm.name === "Ed25519" ? EDDSA : ES256;
  if (header.get(1) !== algorithm) throw new Refused("algorithm");
  const signed = encode(["Signature1", parts[0], aad, parts[2]]);
  const how = algorithm === EDDSA ? { name: "Ed25519" } : { name: "ECDSA", hash: "SHA-256" };
  if (!(parts[3] instanceof Uint8Array) || !(await subtle.verify(how, key, parts[3], signed))) {
    throw new Refused("signature");
  }
  return parts[2];
}

/** The plaintext of a COSE_Encrypt0 to `recipient` ({ kid, privateKey }). */
export async function open(data, recipient, aad) {
  const { header, parts } = layer(data, 16, 3);
  if (header.get(1) !== HPKE_7) throw new Refused("algorithm");
  if (hex(header.get(4)) !== hex(recipient.kid)) throw new Refused("seal");
  const structure = encode(["Encrypt0", parts[0], aad]);
  try {
    const opener = await suite.createRecipientContext({ recipientKey: recipient.privateKey, enc: parts[1].get(-4) });
    return new Uint8Array(await opener.open(parts[2], structure));
  } catch {
    throw new Refused("seal");
  }
}

/** COSE Key Thumbprint (RFC 9679) of a P-256 key given as JWK. */
export async function thumbprint(jwk) {
  const point = new Map([[1, 2], [-1, 1], [-2, Buffer.from(jwk.x, "base64url")], [-3, Buffer.from(jwk.y, "base64url")]]);
  return digest(encode(point));
}

export async function digest(data) {
  return new Uint8Array(await subtle.digest("SHA-256", data));
}

export async function importSealingKey(jwk) {
  const privateKey = await subtle.importKey("jwk", jwk, { name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]);
  return { kid: await thumbprint(jwk), privateKey };
}

export async function importVerifyingKey(jwk) {
  return subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, true, ["verify"]);
}

export function hex(bytes) {
  return bytes instanceof Uint8Array ? Buffer.from(bytes).toString("hex") : "";
}
