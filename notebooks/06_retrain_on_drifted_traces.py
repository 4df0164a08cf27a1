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
# # 06 · Retrain on drifted traces
#
# The world moves: people reach the assistant through new channels, a model's price triples, and the next week's traces are not like the last. Should a new policy
# replace the one that serves? `pointsman retrain` looks at what changed, fits a challenger, and promotes it only if a gate holds on requests that neither has seen.

# %%
import json

import matplotlib.pyplot as plt
import pandas as pd

import setting
from pointsman.sample_week import sample_week
from pointsman.sample_week.change import Change

first, spec = setting.week()
old = first.write(setting.WORK / "week_1.parquet")
(setting.WORK / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
bundle = setting.fitted()

# %% [markdown]
# The champion is a link that the gateway loads:

# %%
champion = setting.WORK / "champion"
setting.command("promote", "--bundle", bundle, "--champion", champion)
print(champion.name, "→", champion.resolve().name)

# %% [markdown]
# ## A second week that has drifted
#
# A third of the requests come through new channels with other words around them, complaints have doubled, and the model that gets most of the traffic now costs three times as
# much.

# %%
change = Change(weeks=1, wording=0.3, shares={"support_complaint": 2.0}, prices={"mid-writer": 3.0})
second = sample_week(1, 2 * setting.REQUESTS // 3, change)
fresh = setting.WORK / "week_2.parquet"
second.traces.to_parquet(fresh)
new_spec = {**second.spec, "guards": setting.GUARDS}
(setting.WORK / "spec_2.yaml").write_text(setting.parse_spec(new_spec, source="week 2").to_yaml(), encoding="utf-8")


def served(rows):
    return rows[rows["chosen"].fillna(False).astype(bool)]


fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
shares = pd.DataFrame(
    {
        name: setting.by_request(rows)["intent"].value_counts(normalize=True)
        for name, rows in (("week 1", first.rows), ("week 2", second.traces))
    }
).fillna(0)
shares.sort_values("week 2").mul(100).plot.barh(ax=left, color=["#b0b7c3", "#3b5b92"])
left.set(xlabel="share of requests, %", ylabel="", title="Intents")
costs = pd.DataFrame(
    {
        name: 1000 * rows.groupby("model")["cost_usd"].mean()
        for name, rows in (("week 1", first.rows), ("week 2", second.traces))
    }
)
costs.plot.barh(ax=right, color=["#b0b7c3", "#3b5b92"])
right.set(xlabel="model cost, USD per 1,000 answers", ylabel="", title="Prices")
plt.show()

# %% [markdown]
# ## Retrain
#
# One command. It says what changed and drifted (each with an effect size), whether the champion's certificate still holds, how champion and challenger compare on the
# newest third of the fresh requests, and what the gate decides. Its exit code is made for a scheduler.

# %%
challenger, record = setting.WORK / "challenger", setting.WORK / "retrain.json"
code = setting.command(
    "retrain",
    "--champion",
    champion,
    "--traces",
    fresh,
    "--old",
    old,
    "--spec",
    setting.WORK / "spec_2.yaml",
    "--out",
    challenger,
    "--trials",
    setting.TRIALS,
    "--cache",
    setting.WORK / "cache",
    "--no-tracking",
    "--json",
    record,
)
print("exit code:", code)

# %% [markdown]
# ## What was decided, and can be taken back

# %%
print(champion.name, "→", champion.resolve().name)
found = json.loads(record.read_text())
print(json.dumps({key: found[key] for key in list(found)[:4] if not isinstance(found[key], (dict, list))}, indent=1))

# %%
if champion.resolve().name == "challenger":
    setting.command("promote", "--back", "--champion", champion)
    print(champion.name, "→", champion.resolve().name)

# %% [markdown]
# ## An unchanged week
#
# The gate matters most when nothing happened: a challenger that is merely different must not be promoted on luck.

# %%
same = sample_week(2, max(setting.REQUESTS // 4, 400), Change(weeks=2))
quiet = setting.WORK / "week_3.parquet"
same.traces.to_parquet(quiet)
code = setting.command(
    "retrain",
    "--champion",
    champion,
    "--traces",
    quiet,
    "--spec",
    setting.WORK / "spec.yaml",
    "--out",
    setting.WORK / "unneeded",
    "--trials",
    setting.TRIALS,
    "--cache",
    setting.WORK / "cache",
    "--no-tracking",
)
print("exit code:", code, "· champion:", champion.resolve().name)

# %% [markdown]
# **What to take along.** Retrain on a schedule, promote on evidence. A change that nobody labelled (a new intent, wrong labels) is what `pointsman discover` looks for;
# `training/RETRAIN.md` has the gate's keys and what each drift test can see.
