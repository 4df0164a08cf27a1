# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Ship to a gateway and close the loop
#
# The bundle is a folder: an ONNX graph, a policy, evidence. A gateway loads it, asks it for each request, and tells it what came of it. The
# decisions and outcomes that it writes down are the traces of the next fit.

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import setting
from pointsman.conformance import check_conformance
from pointsman.decision_log import DecisionLog
from pointsman.router import Router

bundle = setting.fitted()
pd.DataFrame(
    [{"file": file.name, "KiB": round(file.stat().st_size / 1024, 1)} for file in sorted(bundle.iterdir())]
).set_index("file")

# %% [markdown]
# The manifest carries a SHA-256 of every file; a bundle that was altered or cut short is refused with a reason. The conformance vectors prove
# that this installation (or a port in another language) reads and decides exactly as the fit did:

# %%
print("faults against the conformance vectors:", check_conformance(bundle))

# %% [markdown]
# ## Route

# %%
log_file = setting.WORK / "decisions.jsonl"
log_file.unlink(missing_ok=True)
router = Router.load(bundle, log=DecisionLog(log_file, prompts=True))
decision = router.route("Weigh these two rollout plans against each other: cost, risk, staffing, and recommend one")
print(decision.model, "·", decision.reason)
print("falls back to:", ", ".join(decision.fallbacks) or "nothing", "· timeout:", decision.timeout_ms, "ms")

# %% [markdown]
# How long does that take? Text in, decision out, guards included, on one thread:

# %%
prompts = list(setting.by_request(setting.week(seed=1, requests=300)[0].rows)["prompt"])
bare = Router.load(bundle)
took = []
for prompt in prompts:
    started = time.perf_counter()
    bare.route(prompt)
    took.append(1e3 * (time.perf_counter() - started))
print(
    f"P50 {np.quantile(took, 0.5):.2f} ms, P99 {np.quantile(took, 0.99):.2f} ms on this machine, with whatever else it does"
)

# %% [markdown]
# ## A day at the gateway
#
# Three hundred requests of another week go through the router. The models are played by the traces themselves: what each would have answered is
# known. Half way, the model that gets most of the traffic breaks down for a while.

# %%
week, _ = setting.week(seed=1, requests=300)
answers = week.rows.set_index(["request_id", "model"])
heads = setting.by_request(week.rows)
broken = router.policy.models[0]
story = []
for number, head in enumerate(heads.itertuples()):
    decision = router.route(head.prompt, modality=head.modality or "text", request_id=head.request_id)
    while decision is not None:
        answer = answers.loc[(head.request_id, decision.model)]
        down = 100 <= number < 200 and decision.model == broken
        router.report(
            decision,
            ok=not down and answer["status"] == "ok",
            latency_ms=float(answer["latency_ms"]),
            cost_usd=0.0 if down else float(answer["cost_usd"]),
            useful=None if down else float(answer["useful"]),
        )
        story.append({"request": number, "model": decision.model, "down": down, "barred": broken in decision.barred})
        decision = router.next(decision, "error") if down else None
story = pd.DataFrame(story)
fig, axes = plt.subplots(figsize=(9, 3.2))
for at, model in enumerate(router.policy.models):
    mine = story[(story["model"] == model) & ~story["down"]]
    lost = story[(story["model"] == model) & story["down"]]
    axes.plot(mine["request"], [at] * len(mine), "|", ms=11, color="#3b5b92")
    axes.plot(lost["request"], [at] * len(lost), "x", ms=6, color="#b5452c")
axes.axvspan(100, 200, color="#b5452c", alpha=0.08)
axes.set_yticks(range(len(router.policy.models)), router.policy.models)
axes.set(xlabel="request", title=f"Where requests went; ×: failed while {broken} was down")
plt.show()
print(
    f"{int(story['down'].sum())} attempts met the broken model; the breaker kept it from {int(story['barred'].sum())} others"
)

# %% [markdown]
# ## The kill-switch
#
# One call, file or variable sends everything to the safe model, without asking any classifier:

# %%
router.kill(who="on call", why="bad answers")
print(router.route("anything").reason)
router.restore(who="on call")
print(router.route("opening hours of the museum on sunday?").reason)

# %% [markdown]
# ## Close the loop
#
# The decision log holds what was decided, with which probability, and what came of it. `pointsman ingest` reads it back as a trace table, ready for
# the next fit.

# %%
router.log.close()
out = setting.WORK / "from_the_gateway.parquet"
setting.command("ingest", log_file, "--out", out)
back = pd.read_parquet(out)
back[["request_id", "model", "intent", "useful", "cost_usd", "latency_ms", "status", "propensity"]].dropna(
    axis=1, how="all"
).head()

# %% [markdown]
# ## A gateway of your own
#
# `pointsman export` writes LiteLLM, Envoy AI Gateway, Portkey and vLLM Semantic Router configurations; what a gateway cannot express stands at the top of
# the file:

# %%
config = setting.WORK / "litellm.yaml"
setting.command("export", "--to", "litellm", "--bundle", bundle, "--out", config)
print("\n".join(config.read_text().splitlines()[:40]))

# %% [markdown]
# **What to take along.** Report outcomes: breakers and budgets live on them. Keep the decision log with its propensities: it is what makes the next
# fit possible without replaying everything. Next: [06, retrain on drifted traces](06_retrain_on_drifted_traces.ipynb).
