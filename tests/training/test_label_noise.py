"""Wrong labels are found, ambiguous ones are left alone."""

from __future__ import annotations

import numpy as np

from pointsman.label_noise import mislabelled


def test_flipped_labels_are_found_and_few_others() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, 2000)
    probs = np.full((2000, 5), 0.04)
    probs[np.arange(2000), truth] = 0.84
    probs = 0.7 * probs + 0.3 * generator.dirichlet(np.ones(5), 2000)
    given = truth.copy()
    flipped = generator.random(2000) < 0.05
    given[flipped] = (truth[flipped] + 1) % 5
    found = mislabelled(probs, given)
    assert (found & flipped).sum() > 0.9 * flipped.sum() * 0.5
    assert (found & ~flipped).sum() <= 0.005 * len(given)


def test_ambiguous_and_unlabelled_requests_are_kept() -> None:
    probs = np.array([[0.5, 0.5], [0.45, 0.55], [0.02, 0.98], [0.97, 0.03], [0.03, 0.97]])
    assert mislabelled(probs, np.array([0, 0, -1, 0, 1])).tolist() == [False] * 5
    assert mislabelled(probs, np.array([0, 0, 0, 0, 1])).tolist() == [False, False, True, False, False]
