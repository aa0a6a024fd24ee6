// node run.mjs VECTORS: what this verifier makes of each test vector, as JSON.

import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { hex, importSealingKey, importVerifyingKey, Refused } from "./cose.mjs";
import { readDecision, readEpoch, readRequest } from "./issuer.mjs";

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const bytes = (text) => new Uint8Array(Buffer.from(text, "hex"));
const key = await importVerifyingKey(vectors.keys.issuer_signing);
const recipient = await importSealingKey(vectors.keys.issuer_sealing);
const authority = new X509Certificate(bytes(vectors.keys.evidence_authority));

const readers = {
  request: async (vector) => {
    const { request, holder } = await readRequest(bytes(vector.data), {
      issuer: vectors.issuer,
      terminal: vector.terminal,
      correlation: bytes(vector.correlation),
      recipient,
      authority,
      at: vectors.at,
      epochs: vectors.epochs,
    });
    return { counter: request.get(-75002), similarity: request.get(-75006).get(2), surname: holder?.get(2) ?? null };
  },
  epoch: async (vector) => {
    const epoch = await readEpoch(bytes(vector.data), { issuer: vectors.issuer, key });
    return { epoch: hex(epoch.get(10)), sequence: epoch.get(-75030) };
  },
  decision: async (vector) => {
    const decision = await readDecision(bytes(vector.data), { issuer: vectors.issuer, terminal: vector.terminal, key });
    return { outcome: decision.get(-75022), reasons: decision.get(-75023) };
  },
};

const results = {};
for (const vector of vectors.vectors) {
  try {
    results[vector.name] = { verdict: "ok", says: await readers[vector.kind](vector) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    results[vector.name] = { verdict: error.fault };
  }
}
process.stdout.write(JSON.stringify(results));
