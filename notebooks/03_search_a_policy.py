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
# # 03 · Search a policy and pick a point on the front
#
# The classifier gives probabilities. A *policy* turns them into a model by a few thresholds that a person can read. Optuna searches those
# thresholds for the lowest **cost per useful response** under the constraints of the spec: here a P95 of at most 220 ms, and at most one point
# less useful than what production does today.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

import setting
from pointsman.encoders import TransformerEncoder
from pointsman.fit import FitOptions, fit
from pointsman.pictures import front_picture
from pointsman.tables import metric_table

traces, spec = setting.week()
Markdown(f"```yaml\n{spec.to_yaml()}```")

# %% [markdown]
# ## Fit
#
# One call trains and cross-fits the classifier, searches, certifies on requests that the search never saw, and writes the bundle.

# %%
phases = {}


def note(phase, done, total):
    phases[phase] = total


result = fit(
    traces,
    spec,
    setting.WORK / "searched",
    TransformerEncoder(),
    FitOptions(trials=setting.TRIALS, cache=setting.WORK / "cache"),
    progress=note,
)
print(", ".join(f"{name}: {count:,}" for name, count in phases.items()))
print(result.report["verdict"])

# %% [markdown]
# ## What the search tried
#
# Every point is one set of thresholds, measured on the requests tuned on by beliefs that never saw them. Left of the dashed line it is cheaper
# than today. The constraint is a promise: points below the horizontal line would lose more than one point of usefulness.

# %%
tried = result.search.tried
cost = 1000 * np.array([one.evaluation.mean_cost_usd for one in tried])
useful = 100 * np.array([one.evaluation.useful_rate for one in tried])
kept = np.array([one.evaluation.feasible for one in tried])
before = result.report["before"]
fig, axes = plt.subplots()
axes.scatter(
    cost[~kept], useful[~kept], s=8, color="#c9c9c9", label="breaks a constraint, or cannot be shown to keep it"
)
axes.scatter(cost[kept], useful[kept], s=10, color="#3b5b92", label="keeps every constraint")
axes.axvline(1000 * before["cost_usd"] / before["requests"], color="#b5452c", ls="--", lw=1)
axes.axhline(100 * before["useful_rate"] - 1, color="#b5452c", ls=":", lw=1)
axes.set(
    xscale="log",
    xlabel="mean full cost, USD per 1,000 requests (log scale)",
    ylabel="useful, %",
    title=f"{len(tried):,} rules tried",
)
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# ## The front
#
# Of all these rules, those that no other beats in cost, usefulness and P95 at once. The ring is the exported one: not the best that was found,
# but the boldest that could be *certified*.

# %%
own = next((one for one in tried if one.rule == result.policy.rule), None)
chosen = result.front.points[0] if own is None else result.front.nearest(own)
picture = front_picture(result.front, chosen, setting.WORK / "front.png")
image = plt.imread(picture)
fig, axes = plt.subplots(figsize=(9, 9 * image.shape[0] / image.shape[1]))
axes.imshow(image)
axes.axis("off")
plt.show()

# %%
pd.DataFrame(
    [
        {
            "--pick": point.number,
            "USD per 1,000": round(1000 * point.cost_usd, 3),
            "useful, %": round(100 * point.useful_rate, 1),
            "P95, ms": round(point.p95_ms),
            "keeps all": point.feasible,
            "": "exported" if point is chosen else "",
        }
        for point in sorted({p.number: p for p in (*result.front.spread(12), chosen)}.values(), key=lambda p: p.number)
    ]
)

# %% [markdown]
# To export another point: `pointsman fit … --pick N`. It is certified like any other, and the report says when it cannot be.
#
# ## The thresholds, in plain words
#
# Each threshold tells how many requests it moves, and what to edit to overrule it.

# %%
entries = result.policy.evidence["thresholds"]
pd.DataFrame(entries)[["where", "value", "unit", "moved", "of", "overrule"]].style.hide(axis="index").set_properties(
    **{"text-align": "left"}
)

# %% [markdown]
# ## How much is left on the table?
#
# The *dual bound* is the best that any rule could reach with the same probabilities; the certificate's price is what the next, bolder rule would
# have saved had it been proven.

# %%
for key, value in result.dual.items():
    print(f"{key}: {'unknown' if value is None else f'{value:.4g}'}")
certificate = result.certificate
print(
    f"certified: {certificate.certified}, on {certificate.requests:,} requests, with {certificate.confidence:.0%} confidence"
)

# %%
Markdown(metric_table(result.report))

# %% [markdown]
# **What to take along.** One number moves everything: what a useful answer is worth to you (`useless_response_usd`, or the margin of usefulness).
# If the exported point looks timid, look at the certificate: more labelled requests buy boldness. Next: [04, replay, certify, read the
# report](04_replay_certify_read_the_report.ipynb).
