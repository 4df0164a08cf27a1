// Holds the conformance vectors of bundles against the router (section 8 of DECIDE.md): node conformance.mjs BUNDLE...

import { isDeepStrictEqual } from "node:util";

import { Router } from "./route.mjs";

const TOLERANCE = 1e-4;

/** What differs first, as one line; null where nothing does. */
export function firstDifference(vector, found) {
  const { clipped = vector.prompt, input_ids, intent, model, fallbacks, timeout_ms } = vector;
  const equal = {
    clipped: [found.clipped, clipped],
    input_ids: [found.ids, input_ids],
    intent: [found.decision.intent, intent],
    model: [found.decision.model, model],
    fallbacks: [found.decision.fallbacks, fallbacks],
    timeout_ms: [found.decision.timeout_ms, timeout_ms],
  };
  const { reading } = found;
  const near = {
    intent_probs: reading.intentProbs,
    useful_probs: reading.usefulProbs,
    output_tokens: reading.outputTokens ?? undefined,
    out_of_scope: reading.outOfScope ?? undefined,
    hallucination_probs: reading.hallucinationProbs ?? undefined,
    intent_labels: reading.intentLabels ?? undefined,
  };
  for (const [key, got] of Object.entries(near)) {
    const want = vector[key];
    if ((got === undefined) !== (want === undefined) || got?.length !== want?.length) {
      return `${key} has ${got?.length ?? "no"} numbers; training has ${want?.length ?? "none"}`;
    }
    for (const [at, value] of (got ?? []).entries()) {
      const gap = Math.abs(value - want[at]) / (key === "output_tokens" ? 1 + want[at] : 1);
      const allowed = key === "out_of_scope" ? 10 * TOLERANCE : TOLERANCE;
      if (!(gap <= allowed)) return `${key}[${at}] is ${value}; training has ${want[at]}`;
    }
  }
  for (const [key, [got, want]] of Object.entries(equal)) {
    if (!isDeepStrictEqual(got, want)) return `${key} is ${JSON.stringify(got)}; training has ${JSON.stringify(want)}`;
  }
  return null;
}

async function check(folder) {
  const router = await Router.load(folder);
  const lines = router.bundle.files["conformance.jsonl"].toString("utf8").split("\n").filter((line) => line !== "");
  for (const [at, line] of lines.entries()) {
    const vector = JSON.parse(line);
    const contextTokens = vector.context_tokens;
    const found = await router.route(vector.prompt, { modality: vector.modality, contextTokens });
    const difference = firstDifference(vector, found);
    if (difference !== null) throw new Error(`${folder}: conformance.jsonl:${at + 1}: ${difference}`);
  }
  console.log(`${folder}: ${lines.length} vectors pass`);
}

try {
  if (process.argv.length < 3) throw new Error("usage: node conformance.mjs BUNDLE...");
  for (const folder of process.argv.slice(2)) await check(folder);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
