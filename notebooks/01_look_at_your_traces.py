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
# # 01 · Look at your traces
#
# A routing policy can only be as good as what was written down. Before anything is trained, four questions decide whether it is worth the
# effort: *what do people ask, which model answered, did it help, and what did it cost in full?* This notebook asks them of a simulated week
# of a customer-facing search assistant (pointsman generates it; every request was replayed on four models), and then of real outcomes, where
# they are on your disk.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import setting
from pointsman.data_report import show_data_report
from pointsman.outcomes import outcomes_of
from pointsman.inputs import own_prices
from pointsman.labels import needed_compute
from pointsman.profile.data_profile import DataProfile

traces, spec = setting.week()
rows = traces.rows
rows.loc[:, ["timestamp", "prompt", "intent", "model", "chosen", "useful", "cost_usd", "latency_ms"]].head(8)

# %% [markdown]
# One row is one request *and one model that answered it*. `chosen` marks the answer that production really served. `useful` says whether the
# answer helped: here a number between 0 and 1, from thumbs, resolved tickets or a judge in your own traces.
#
# `pointsman ingest` makes this table of what you have (OpenTelemetry, Langfuse, LiteLLM, MLflow and others) and ends with a data report. The
# same report for this week:

# %%
profile = DataProfile()
profile.update(rows.sort_values(["timestamp", "request_id"], kind="stable"))
report = profile.report()
show_data_report(report)

# %% [markdown]
# ## What do people ask, and when?
#
# Nearly half of the traffic are short look-ups and navigation. If all of it goes to the largest model, that is where the money goes.

# %%
heads = setting.by_request(rows)
fig, (left, right) = plt.subplots(1, 2, width_ratios=[1, 1.3])
share = heads["intent"].value_counts(normalize=True).sort_values()
left.barh(share.index, 100 * share, color="#3b5b92")
left.set(xlabel="share of requests, %", title="Intents")
left.grid(axis="y", visible=False)
hours = heads.set_index("timestamp").resample("h").size()
right.plot(hours.index, hours, color="#3b5b92", lw=1)
right.set(ylabel="requests an hour", title="Arrivals over the week")
right.tick_params(axis="x", rotation=30)
plt.show()

# %% [markdown]
# ## What did production do, and what would the others have done?
#
# Cost here is the *full* cost of a request: the model, retries, retrieval, connectors. The P95 is what one user in twenty has to bear.

# %%
outcomes = outcomes_of(rows, own_prices(spec))
table = pd.DataFrame(
    {
        "useful, %": 100 * np.nanmean(outcomes.useful, axis=0),
        "full cost, USD per 1,000": 1000 * np.nanmean(outcomes.cost_usd, axis=0),
        "USD per 1,000 useful": 1000 * np.nansum(outcomes.cost_usd, axis=0) / np.nansum(outcomes.useful, axis=0),
        "P50, ms": np.nanquantile(outcomes.latency_ms, 0.5, axis=0),
        "P95, ms": np.nanquantile(outcomes.latency_ms, 0.95, axis=0),
        "hallucinated, %": 100 * np.nanmean(outcomes.hallucinated, axis=0),
    },
    index=list(outcomes.models),
)
served = rows.loc[rows["chosen"].fillna(False), "model"].value_counts(normalize=True)
print("production served: " + ", ".join(f"{name} {part:.0%}" for name, part in served.items()))
table.round(2)

# %%
fig, (left, right) = plt.subplots(1, 2)
for at, model in enumerate(outcomes.models):
    known = np.sort(outcomes.latency_ms[np.isfinite(outcomes.latency_ms[:, at]), at])
    left.plot(known, np.linspace(0, 100, len(known)), label=model, lw=1.4)
left.axvline(220, color="#b5452c", ls=":", lw=1)
left.annotate(
    "the limit in the spec", (220, 12), xytext=(6, 0), textcoords="offset points", fontsize=8, color="#b5452c"
)
left.axhline(95, color="grey", ls=":", lw=1)
left.set(xscale="log", xlabel="latency, ms (log scale)", ylabel="share of requests, %", title="How long users wait")
left.legend(fontsize=8)
cost = np.nanmean(outcomes.cost_usd, axis=0)
right.scatter(1000 * cost, table["useful, %"], s=60, color="#3b5b92")
for at, model in enumerate(outcomes.models):
    right.annotate(
        model, (1000 * cost[at], table["useful, %"].iloc[at]), xytext=(6, -11), textcoords="offset points", fontsize=8
    )
right.margins(0.25)
right.set(
    xscale="log",
    xlabel="mean full cost, USD per 1,000 requests (log scale)",
    ylabel="useful, %",
    title="Cost against usefulness",
)
plt.show()

# %% [markdown]
# ## Is there anything to route?
#
# The cheapest model that was useful is the compute a request *needed*. Where every intent needs the same, no router can help; here they differ
# widely, and most requests never needed the large model.

# %%
needed = needed_compute(outcomes.useful, outcomes.cost_usd)
order = np.argsort(np.nanmean(outcomes.cost_usd, axis=0))
names = [*(outcomes.models[at] for at in order), "none was useful"]
codes = np.where(needed < 0, len(order), np.argsort(order)[needed])
counts = pd.crosstab(outcomes.intent, codes).reindex(columns=range(len(names)), fill_value=0)
counts = counts.div(counts.sum(axis=1), axis=0).sort_values(0)
fig, axes = plt.subplots(figsize=(9, 4.6))
start = np.zeros(len(counts))
for at, (name, colour) in enumerate(zip(names, ["#9ecae1", "#6baed6", "#3182bd", "#08519c", "#bbbbbb"], strict=False)):
    axes.barh(counts.index, 100 * counts[at], left=start, color=colour, label=name)
    start += 100 * counts[at].to_numpy()
axes.set(xlabel="share of the intent's requests, %", title="Cheapest model that was useful")
axes.legend(ncols=5, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, -0.13), frameon=False)
axes.grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# The oracle, which knows what was useful before it asks, bounds what routing can reach:

# %%
best = np.nanmean(outcomes.useful, axis=0).argmax()
cheapest = np.where(needed < 0, np.nanmean(outcomes.cost_usd, axis=0).argmin(), needed)
rows_at = np.arange(len(outcomes))
oracle = 1000 * np.nanmean(outcomes.cost_usd[rows_at, cheapest])
print(
    f"best single model, {outcomes.models[best]}: {table['useful, %'].iloc[best]:.1f} % useful, {1000 * cost[best]:.2f} USD per 1,000"
)
print(f"oracle: {100 * (needed >= 0).mean():.1f} % useful at {oracle:.2f} USD per 1,000")

# %% [markdown]
# ## The same questions of real outcomes
#
# Nine models, fourteen tasks, every prompt really answered and graded by each. Prompts, tasks and usefulness are real; latency is modelled.

# %%
real = setting.real_outcomes("mixed_nine_models")
if real is None:
    print("not on this disk: set POINTSMAN_DATA to the folder that holds routing/mixed_nine_models")
else:
    grid = real.rows.pivot_table(index="intent", columns="model", values="useful", aggfunc="mean")
    grid = grid[grid.mean().sort_values().index]
    fig, axes = plt.subplots(figsize=(9, 4.8))
    image = axes.imshow(100 * grid, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(grid.shape[1]), grid.columns, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(grid.shape[0]), grid.index, fontsize=8)
    axes.grid(visible=False)
    fig.colorbar(image, label="useful, %")
    axes.set(title="Useful answers by task and model")
    plt.show()
    champions = grid.idxmax(axis=1)
    print(
        f"{champions.nunique()} different models are best on some task; {champions.value_counts().index[0]} on {champions.value_counts().iloc[0]} of {len(grid)}"
    )

# %% [markdown]
# **What to take along.** Look for: intents where a cheap model is as good (savings), intents where only the dear one is (do not touch), a tail that is
# made of few requests (P95), and rows that are missing (unlabelled, unpriced): the report's findings name them. Next: [02, train and read the
# classifier](02_train_and_read_the_classifier.ipynb).
