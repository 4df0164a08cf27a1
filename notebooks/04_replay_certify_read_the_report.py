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
# # 04 · Replay, certify, read the report
#
# «If someone claims this will work, ask for the before/after numbers.» Here they are: the bundle is replayed on a week that no fit has seen, then put under load.

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

import setting
from pointsman.bundle import load_bundle
from pointsman.load.questions import rate_curve
from pointsman.loading import load_scene
from pointsman.pictures import cost_and_usefulness
from pointsman.replaying import replay_bundle
from pointsman.reporting.make import bundle_page
from pointsman.tables import constraint_lines, metric_table

bundle = setting.fitted()
later, spec = setting.week(seed=11, requests=max(setting.REQUESTS // 2, 400))
report = replay_bundle(bundle, later, spec)
Markdown(f"**{report['verdict']}**\n\n{metric_table(report)}")

# %% [markdown]
# The rows below the change are the *rivals*: each model alone, a random mixture of equal cost, the best model per (labelled) intent, and an oracle that knows
# the outcome. A router that is not ahead of the first ones has learned nothing, and the first line says so.

# %%
picture = plt.imread(cost_and_usefulness(report, setting.WORK / "cost_and_usefulness.png"))
fig, axes = plt.subplots(figsize=(9, 9 * picture.shape[0] / picture.shape[1]))
axes.imshow(picture)
axes.axis("off")
plt.show()

# %% [markdown]
# ## What is promised, and what became of it
#
# When the bundle was fitted, its constraints were *certified*: tested on requests that did not choose the policy. On this other week they can be kept
# («certified» again, or «held»), missed within chance, or broken.

# %%
promised = load_bundle(bundle).policy.evidence
print(constraint_lines(report))
certificate = promised.get("certificate") or {}
print(
    "\nwhen fitted:",
    "certified" if certificate.get("certified") else "not certified",
    "on",
    f"{certificate.get('requests', 0):,} requests",
)

# %% [markdown]
# ## Under load
#
# The figures above take each answer as it came. In production answers wait for each other: models serve so many requests at a time. The load replay runs the same
# decisions, through the gateway's own guards, with queues. Where does the P95 leave its limit as traffic grows?

# %%
scene = load_scene(bundle, later, spec)
curve = rate_curve(scene)
for side in ("before", "after"):
    capacity, cliff = curve[side]["capacity_per_s"], curve[side]["cliff_per_s"]
    print(
        f"{side}: the first model is full at {capacity:.1f} requests a second; the cliff is at {'more than was tried' if cliff is None else f'{cliff:.1f}'}"
    )
print(f"today's rate: {curve['rate_per_s']:.2f} a second; modelled: {curve['modelled']}")

# %%
fig, axes = plt.subplots()
for name, colour in (("before", "#b5452c"), ("after", "#0b6e4f")):
    axes.plot(curve["rates_per_s"], curve[name]["p95_ms"], marker="o", ms=3, color=colour, label=name)
axes.axhline(spec.constraints.p95_latency_ms, color="grey", ls=":", lw=1)
axes.set(
    xscale="log",
    yscale="log",
    xlabel="requests a second (log scale)",
    ylabel="P95 latency, ms (log scale)",
    title="P95 under load",
)
axes.legend()
plt.show()

# %% [markdown]
# ## The page for the meeting
#
# One self-contained HTML file with all of it: the verdict, the table, who moved where, reliability, what is modelled, red flags. From the terminal:
# `pointsman report --bundle … --traces … --spec … --out report.html`.

# %%
page = setting.WORK / "report.html"
page.write_text(bundle_page(load_bundle(bundle), report), encoding="utf-8")
print(f"{page.name}: {page.stat().st_size / 1024:.0f} KiB, opens in any browser, nothing is fetched")

# %% [markdown]
# **What to take along.** Look at three things: the interval of the usefulness (not its middle), the rivals (is the router ahead of *best per intent*?), and the request rate at
# which the P95 leaves its limit. Next: [05, ship to a gateway](05_ship_and_close_the_loop.ipynb).
