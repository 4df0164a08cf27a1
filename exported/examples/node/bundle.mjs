// Reads a bundle and checks every byte of it: section 1 of DECIDE.md.

import { createHash, createPublicKey, verify } from "node:crypto";
import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const FILES = [
  "model.onnx",
  "tokenizer.json",
  "policy.json",
  "conformance.jsonl",
  "MODEL_CARD.md",
  "seen_requests.u64",
];
const MANIFEST = "manifest.json";
const SIGNATURE = "manifest.sig";
const HASH_AT_THE_END = /^([^]*),\n {2}"sha256": "([0-9a-f]{64})"\n\}\n$/;

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** {manifest, policy, files}: files by name, as Buffers. publicKey: PEM of the key that must have signed it. */
export async function loadBundle(folder, publicKey = null) {
  const known = [MANIFEST, SIGNATURE, ...FILES];
  for (const name of await readdir(folder)) {
    if (!known.includes(name)) throw new Error(`${folder}: holds ${name}, which is no file of a bundle`);
  }
  const data = await plainFile(folder, MANIFEST);
  const [, unsigned, hash] = HASH_AT_THE_END.exec(data.toString("utf8")) ?? [];
  if (hash === undefined || sha256(`${unsigned}\n}\n`) !== hash) throw new Error(`${folder}: ${MANIFEST} is altered`);
  if (publicKey !== null) {
    const key = createPublicKey(publicKey);
    const signature = await plainFile(folder, SIGNATURE);
    if (key.asymmetricKeyType !== "ed25519" || !verify(null, data, key, signature)) {
      throw new Error(`${folder}: ${SIGNATURE} is not a signature of the manifest by the required key`);
    }
  }
  const manifest = JSON.parse(data);
  if (manifest.format_version !== 1) throw new Error(`${folder}: format_version is ${manifest.format_version}, not 1`);
  const files = {};
  for (const name of FILES) {
    const entry = manifest.files[name];
    files[name] = await plainFile(folder, name);
    if (files[name].length !== entry.bytes || sha256(files[name]) !== entry.sha256) {
      throw new Error(`${folder}: ${name} is not the file that the manifest tells of`);
    }
  }
  const policy = JSON.parse(files["policy.json"]);
  if (policy.policy_version !== 1) throw new Error(`${folder}: policy_version is ${policy.policy_version}, not 1`);
  return { manifest, policy, files };
}

async function plainFile(folder, name) {
  const path = join(folder, name);
  if (!(await lstat(path)).isFile()) throw new Error(`${path}: not a plain file`);
  return readFile(path);
}
