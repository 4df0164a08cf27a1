// The router, and its command line: node route.mjs BUNDLE TEXT [--modality M] [--context-tokens N] [--explain]

import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { loadBundle } from "./bundle.mjs";
import { Classifier, clip, textOf } from "./classifier.mjs";
import { decide } from "./decide.mjs";

export class Router {
  constructor(bundle, classifier) {
    this.bundle = bundle;
    this.classifier = classifier;
    this.version = bundle.manifest.sha256.slice(0, 16);
  }

  static async load(folder, publicKey = null) {
    const bundle = await loadBundle(folder, publicKey);
    return new Router(bundle, await Classifier.load(bundle));
  }

  /** The decision, and everything that it was made of. */
  async route(prompt, { modality = "text", contextTokens = 0, barred = [] } = {}) {
    if (!["text", "image", "audio"].includes(modality)) throw new Error(`modality is ${modality}`);
    if (!Number.isSafeInteger(contextTokens) || contextTokens < 0) throw new Error(`contextTokens is ${contextTokens}`);
    const { policy } = this.bundle;
    const { clipped, tokens } = clip(textOf(prompt), contextTokens, policy.text);
    const ids = this.classifier.ids(clipped);
    const reading = await this.classifier.read(ids);
    const facts = { modality, tokens };
    return { clipped, ids, facts, reading, ...decide(reading, facts, policy, barred), version: this.version };
  }
}

async function main() {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      modality: { type: "string", default: "text" },
      "context-tokens": { type: "string", default: "0" },
      "require-signature": { type: "string" },
      explain: { type: "boolean", default: false },
    },
  });
  if (positionals.length !== 2) throw new Error("usage: node route.mjs BUNDLE TEXT");
  const key = values["require-signature"];
  const router = await Router.load(positionals[0], key === undefined ? null : await readFile(key));
  const contextTokens = Number(values["context-tokens"]);
  const found = await router.route(positionals[1], { modality: values.modality, contextTokens });
  const { decision, version, facts, reading, beliefs, eligible } = found;
  const { rule } = router.bundle.policy;
  const made = values.explain ? { facts, reading, rule, beliefs, eligible } : {};
  console.log(JSON.stringify({ ...decision, version, ...made }, null, 2));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  main().catch((error) => {
    console.error(`route: ${error.message}`);
    process.exitCode = 2;
  });
}
