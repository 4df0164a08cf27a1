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
# # 02 · Train and read the classifier
#
# The router decides from probabilities: which *intent* a prompt has, and how likely each candidate's answer is to be *useful*. This notebook trains that
# classifier on the sample week, and asks what it can and cannot tell on requests that it never saw.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import setting
from pointsman.bundle import load_bundle
from pointsman.confusion import confusion
from pointsman.confusion_picture import confusion_picture
from pointsman.evaluation import evaluate
from pointsman.inputs import known_outcomes
from pointsman.labels import intent_labels
from pointsman.reliability_picture import reliability_picture
from pointsman.router import Router

bundle = setting.fitted()
provenance = load_bundle(bundle).manifest["provenance"]
print("encoder:", provenance["encoder_how"])
print("graph:", round((bundle / "model.onnx").stat().st_size / 1e6, 1), "MB")

# %% [markdown]
# ## What it reads in a prompt
#
# The exported graph gives probabilities; the policy is not asked yet.

# %%
router = Router.load(bundle, threads=0)
prompts = [
    "opening hours of the museum on sunday?",
    "write a sonnet about a lighthouse keeper",
    "Weigh these two rollout plans against each other: cost, risk, staffing",
    "my order never arrived and nobody answers",
]
reading = router.read(prompts)
pd.DataFrame(
    {
        "prompt": prompts,
        "intent": [router.policy.intents[at] for at in reading.intent_probs.argmax(axis=1)],
        "sure": reading.intent_probs.max(axis=1).round(2),
        **{f"P(useful | {name})": reading.useful_probs[:, at].round(2) for at, name in enumerate(router.policy.models)},
    }
)

# %% [markdown]
# ## Another week, never seen
#
# A second week of the same world is what the classifier is judged on.

# %%
later, spec = setting.week(seed=7, requests=max(setting.REQUESTS // 3, 300))
outcomes = known_outcomes(later, spec, at_least=1).reorder(router.policy.models)
reading = router.read(list(outcomes.prompt))
found = confusion(outcomes.intent, reading.intent_probs, router.policy.intents)
value, low, high = found.accuracy
print(f"intents told right: {value:.1%} [{low:.1%}, {high:.1%}] of {int(found.matrix.sum()):,}")


def show(picture, width=9.0):
    image = plt.imread(picture)
    fig, axes = plt.subplots(figsize=(width, width * image.shape[0] / image.shape[1]))
    axes.imshow(image)
    axes.axis("off")
    plt.show()


show(confusion_picture(found, setting.WORK / "confusion.png"), 7)

# %% [markdown]
# The same from the terminal, with precision and recall of each intent: `pointsman intents --bundle … --traces …`.

# %%
pd.DataFrame(
    [
        {
            "intent": one.intent,
            "labelled": one.labelled,
            "precision": "–" if one.precision is None else "{:.2f} [{:.2f}, {:.2f}]".format(*one.precision),
            "recall": "–" if one.recall is None else "{:.2f} [{:.2f}, {:.2f}]".format(*one.recall),
        }
        for one in found.quality
    ]
).set_index("intent")

# %% [markdown]
# ## Does it mean what it says?
#
# A probability of 0.8 should come true in eight of ten cases. On the diagonal it does; bars that miss the diagonal are off by more than chance.

# %%
labels = intent_labels(np.array(router.policy.intents, dtype=object), 1)
evaluation = evaluate(outcomes, reading.intent_probs, reading.useful_probs, labels)
show(reliability_picture(evaluation, setting.WORK / "reliability.png"), 10)

# %%
pd.DataFrame(
    {
        name: {key: "–" if one is None else "{:.3f} [{:.3f}, {:.3f}]".format(*one) for key, one in entry.items()}
        for name, entry in evaluation["useful"].items()
    }
).T.rename_axis("P(useful | candidate)")

# %% [markdown]
# AUC says how well a candidate's useful answers are told from its useless ones: 0.5 is guessing. Most of that is the *intent*: the next picture shows how far the
# probabilities of one candidate spread within an intent. That spread is per-query evidence, and it is what routing beyond intents lives on.

# %%
cheap = 0
order = sorted(router.policy.intents, key=lambda name: reading.useful_probs[outcomes.intent == name, cheap].mean())
fig, axes = plt.subplots(figsize=(9, 4.4))
axes.boxplot(
    [reading.useful_probs[outcomes.intent == name, cheap] for name in order],
    orientation="horizontal",
    showfliers=False,
    widths=0.6,
)
axes.set_yticks(range(1, len(order) + 1), order)
axes.set(
    xlabel=f"P(useful | {router.policy.models[cheap]})", title="What the classifier believes of the cheapest model"
)
plt.show()

# %% [markdown]
# **What to take along.** Read the confusion matrix first: a router that mistakes intents pays for it. Then reliability: thresholds are set in
# probabilities, so they must mean what they say. `pointsman benchmark accuracy` and `pointsman benchmark outcomes` measure the same on any
# labelled set. Next: [03, search a policy](03_search_a_policy.ipynb).
