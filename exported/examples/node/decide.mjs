// From probabilities, facts and a policy to a model: sections 3 to 7 of DECIDE.md. No imports.

const f = Math.fround;

/** Σ w[i]·v(i), in float32. */
const dot = (w, v) => w.reduce((sum, weight, i) => f(sum + f(weight * f(v(i)))), 0);

/** The index of the largest value, the first one where several are equal. */
const largest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

const own = (object, key) => (key !== undefined && Object.hasOwn(object ?? {}, key) ? object[key] : undefined);

/** Section 4: P(useful) (and its average), expected cost in USD, P(late), one number each per candidate. */
export function believe(reading, tokens, policy) {
  const w = reading.intentProbs.map(f);
  const { useful, cost_usd: costs, late: lates, lengths } = policy.expected;
  const trust = f(policy.rule.trust);
  const read = f(tokens);
  const answersCount =
    reading.outputTokens != null &&
    lengths != null &&
    [...lengths.usd_per_token_out, ...lengths.late_per_log_out].some((value) => value !== 0);
  const beliefs = policy.candidates.map((_, c) => {
    const average = dot(w, (i) => useful[i][c]);
    const believed = f(average + f(trust * f(f(reading.usefulProbs[c]) - average)));
    let cost = dot(w, (i) => costs[i][c]);
    let late = dot(w, (i) => lates[i][c]);
    if (lengths == null) return { average, useful: believed, cost, late };
    const usual = dot(w, (i) => lengths.tokens_in[i]);
    cost = f(cost + f(f(lengths.usd_per_token_in[c]) * f(read - usual)));
    let answer = 0;
    let typical = 0;
    if (answersCount) {
      answer = f(reading.outputTokens[c]);
      typical = dot(w, (i) => lengths.output_tokens[i][c]);
      cost = f(cost + f(f(lengths.usd_per_token_out[c]) * f(answer - typical)));
    }
    cost = Math.max(cost, 0);
    if (lengths.late_per_log_in[c] + lengths.late_per_log_out[c] !== 0) {
      const p = Math.min(Math.max(late, f(0.001)), f(0.999));
      const longer = f(f(Math.log1p(read)) - f(Math.log1p(usual)));
      let z = f(f(Math.log(f(p / f(1 - p)))) + f(f(lengths.late_per_log_in[c]) * longer));
      z = f(z + f(lengths.late_bias[c]));
      if (answersCount) {
        const ratio = f(f(1 + answer) / f(1 + typical));
        z = f(z + f(f(lengths.late_per_log_out[c]) * f(Math.log(ratio))));
      }
      late = f(0.5 + f(0.5 * f(Math.tanh(f(z / 2)))));
    }
    return { average, useful: believed, cost, late };
  });
  const intent = largest(w);
  const confidence = reading.intentLabels == null ? w[intent] : Math.max(...reading.intentLabels.map(f));
  return { intent, confidence, outOfScope: reading.outOfScope == null ? null : f(reading.outOfScope[0]), candidates: beliefs };
}

/** Section 5.1: which candidates can read the request. */
export function canTake(facts, policy) {
  return policy.candidates.map(
    ({ modalities, context_window: window }) =>
      modalities.includes(facts.modality) && (window == null || facts.tokens <= window),
  );
}

/** Section 5: which candidates the request may go to by the hard rules. */
export function eligibility(intent, facts, policy) {
  const able = canTake(facts, policy);
  const names = policy.candidates.map(({ name }) => name);
  let eligible = [...able];
  const pins = [
    facts.tokens > policy.long_context_tokens ? policy.long_context : null,
    own(policy.pinned_modalities, facts.modality),
    own(policy.pinned_intents, policy.intents[intent]),
  ];
  for (const model of pins) {
    const at = model == null ? -1 : names.indexOf(model);
    if (at >= 0 && able[at]) eligible = names.map((_, c) => c === at);
  }
  return eligible.includes(true) ? eligible : names.map((name) => name === policy.safe_model);
}

/** Section 6: the index of the candidate that the rule takes among the eligible ones. */
export function choose(beliefs, eligible, policy) {
  const { rule } = policy;
  const names = policy.candidates.map(({ name }) => name);
  const { abstain } = rule;
  const strange = abstain?.above_out_of_scope != null && beliefs.outOfScope > f(abstain.above_out_of_scope);
  if (abstain != null && (strange || beliefs.confidence < f(abstain.below_confidence))) {
    const at = names.indexOf(abstain.model);
    if (eligible[at]) return at;
  }
  const intent = policy.intents[beliefs.intent];
  const group = Object.keys(rule.groups ?? {}).find((name) => rule.groups[name].includes(intent));
  if (rule.kind === "value") {
    const worth = f(f(rule.useful_value_usd) * f(own(rule.factor, group) ?? 1));
    return bestOf(beliefs.candidates.map(({ useful, cost, late }) => {
      const score = f(f(worth * useful) - cost);
      return rule.late_cost_usd === 0 ? score : f(score - f(f(rule.late_cost_usd) * late));
    }), eligible);
  }
  if (rule.kind !== "ladder") throw new Error(`policy: rule.kind is ${rule.kind}; allowed: value, ladder`);
  const shift = f(own(rule.shift, group) ?? 0);
  let usable = eligible;
  if (rule.max_p_late < 1) {
    const punctual = eligible.map((may, c) => may && beliefs.candidates[c].late <= f(rule.max_p_late));
    if (punctual.includes(true)) usable = punctual;
  }
  const first = names.findIndex((name, c) => {
    const threshold = rule.min_p_useful[name];
    return usable[c] && threshold <= 1 && f(beliefs.candidates[c].useful - shift) >= f(threshold);
  });
  return first >= 0 ? first : bestOf(beliefs.candidates.map(({ useful }) => useful), usable);
}

/** The candidate of largest score among those that may be taken; of equal ones the first. */
const bestOf = (scores, may) => largest(scores.map((score, c) => (may[c] ? score : -Infinity)));

/** Section 7: the models to try after a failure, in order. */
export function fallbacks(chosen, intent, facts, policy) {
  const able = canTake(facts, policy);
  const names = policy.candidates.map(({ name }) => name);
  const holds = ({ model, when }) => {
    const words = when.filter((word) => word !== "timeout" && word !== "error");
    const fits = (word) =>
      (word === "long_context" && facts.tokens > policy.long_context_tokens) ||
      word === policy.intents[intent] ||
      word === facts.modality;
    return able[names.indexOf(model)] && (words.length === 0 || words.some(fits));
  };
  const models = policy.fallbacks.filter(holds).map(({ model }) => model);
  return [...new Set(models)].filter((model) => model !== names[chosen]);
}

/**
 * Decide where one request goes.
 * reading: {intentProbs, usefulProbs, outputTokens?, outOfScope?, intentLabels?}; facts: {modality, tokens};
 * barred: names of candidates that guards keep from it, barredInDegrading: without those that only the budget bars.
 */
export function decide(reading, facts, policy, barred = [], barredInDegrading = barred) {
  const names = policy.candidates.map(({ name }) => name);
  const beliefs = believe(reading, facts.tokens, policy);
  const eligible = eligibility(beliefs.intent, facts, policy).map((may, c) => may && !barred.includes(names[c]));
  let chosen;
  let degraded = null;
  if (eligible.includes(true)) {
    chosen = choose(beliefs, eligible, policy);
  } else {
    const simpler = names.indexOf(policy.guards?.simpler_model ?? null);
    const may = simpler >= 0 && canTake(facts, policy)[simpler] && !barredInDegrading.includes(names[simpler]);
    chosen = may ? simpler : names.indexOf(policy.safe_model);
    degraded = may ? "simpler_model" : "safe_model";
  }
  const decision = {
    model: names[chosen],
    intent: policy.intents[beliefs.intent],
    tier: chosen,
    confidence: beliefs.confidence,
    p_useful: beliefs.candidates[chosen].useful,
    expected_cost_usd: beliefs.candidates[chosen].cost,
    fallbacks: fallbacks(chosen, beliefs.intent, facts, policy),
    timeout_ms: policy.candidates[chosen].timeout_ms,
    degraded,
    cached_answer: degraded ? (policy.guards?.cached_answer ?? null) : null,
  };
  return { decision, beliefs, eligible };
}
