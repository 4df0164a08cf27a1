// The classifier of a bundle, running: section 2 of DECIDE.md.

import { Tokenizer } from "@huggingface/tokenizers";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** A text of any prompt; every ill-formed part of bytes is U+FFFD. */
export const textOf = (prompt) =>
  typeof prompt === "string" ? prompt : new TextDecoder("utf-8", { ignoreBOM: true }).decode(prompt);

/** {clipped, tokens}: what the classifier reads of a text, and the estimate of what a model would have to read. */
export function clip(text, contextTokens, { head_chars: head, tail_chars: tail }) {
  const points = Array.from(text); // code points, not UTF-16 units
  const tokens = Math.ceil(points.length / 4) + contextTokens;
  const long = points.length > head + tail;
  const kept = long ? [...points.slice(0, head), " ", ...points.slice(points.length - tail)].join("") : text;
  return { clipped: kept.toWellFormed(), tokens };
}

/** Runs the graph on one text at a time. */
export class Classifier {
  constructor(session, tokenizer, io) {
    this.session = session;
    this.tokenizer = tokenizer;
    this.io = io;
  }

  static async load({ manifest, files }) {
    const session = await InferenceSession.create(files["model.onnx"], {
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
    });
    return new Classifier(session, new Tokenizer(JSON.parse(files["tokenizer.json"]), {}), manifest.io);
  }

  /** The token ids of a clipped text, special tokens included, at most max_tokens. */
  ids(clipped) {
    const all = this.tokenizer.encode(clipped).ids;
    const excess = all.length - this.io.max_tokens;
    if (excess <= 0) return all.length > 0 ? all : [this.io.pad_id];
    // The text loses tokens at its end; special tokens stay where they are, before and behind it.
    const text = this.tokenizer.encode(clipped, { add_special_tokens: false }).ids;
    let before = 0;
    while (before + text.length < all.length && text.some((id, at) => id !== all[before + at])) before += 1;
    return [...all.slice(0, before + text.length - excess), ...all.slice(before + text.length)];
  }

  /** {intentProbs, usefulProbs, outputTokens, outOfScope, …}; optional outputs are null where the graph has them not. */
  async read(ids) {
    const { inputs, outputs } = this.io;
    const row = (values) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const found = await this.session.run({ [inputs[0]]: row(ids), [inputs[1]]: row(ids.map(() => 1)) }, outputs);
    const [intentProbs, usefulProbs] = outputs.map((name) => Array.from(found[name].data));
    const optional = (name) => (outputs.indexOf(name) > 1 ? Array.from(found[name].data) : null);
    return {
      intentProbs,
      usefulProbs,
      outputTokens: optional("output_tokens"),
      outOfScope: optional("out_of_scope"),
      hallucinationProbs: optional("hallucination_probs"),
      intentLabels: optional("intent_labels"),
    };
  }
}
