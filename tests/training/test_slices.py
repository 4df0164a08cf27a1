"""What the slices promise: nothing later is seen early, and no prompt is judged by heads that read it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import TraceError
from pointsman.slices import FOLDS, MIN_REQUESTS, prompt_folds, time_slices


@given(st.lists(st.integers(0, 300), min_size=MIN_REQUESTS, max_size=300))
def test_slices_follow_each_other_in_time_without_overlap(minutes: list[int]) -> None:
    times = np.datetime64("2026-01-05T00:00", "us") + np.array(minutes) * np.timedelta64(1, "m")
    slices = time_slices(times)
    together = np.concatenate([slices.learn, slices.calibrate, slices.certify])
    assert sorted(together) == list(range(len(minutes)))
    assert (np.diff(times[together]) >= np.timedelta64(0)).all()


@pytest.mark.parametrize("n", [100, 101, 999, 14_000])
def test_shares_are_kept(n: int) -> None:
    slices = time_slices(np.arange(n).astype("datetime64[s]"))
    assert len(slices.learn) == pytest.approx(0.7 * n, abs=1)
    assert len(slices.calibrate) == pytest.approx(0.1 * n, abs=1)
    assert len(slices.certify) == pytest.approx(0.2 * n, abs=1)
    other = time_slices(np.arange(n).astype("datetime64[s]"), learn=0.5, calibrate=0.25)
    assert len(other.certify) == pytest.approx(0.25 * n, abs=1)


def test_requests_of_one_moment_keep_their_order() -> None:
    slices = time_slices(np.zeros(100, dtype="datetime64[s]"))
    np.testing.assert_array_equal(slices.learn, np.arange(70))


def test_too_few_requests_are_an_error() -> None:
    time_slices(np.arange(100).astype("datetime64[s]"))
    with pytest.raises(TraceError, match=r"99 requests .* at least 100"):
        time_slices(np.arange(99).astype("datetime64[s]"))


@given(st.lists(st.text(), min_size=1, max_size=20), st.integers(1, 9))
def test_equal_prompts_share_a_fold_whatever_stands_beside_them(prompts: list[str], folds: int) -> None:
    found = prompt_folds(np.array(prompts, dtype=object), folds)
    assert found.min() >= 0
    assert found.max() < folds
    alone = [prompt_folds(np.array([prompt], dtype=object), folds)[0] for prompt in prompts]
    np.testing.assert_array_equal(found, alone)


def test_prompts_spread_evenly_over_the_folds() -> None:
    counts = np.bincount(prompt_folds(np.array([f"prompt {index}" for index in range(5000)], dtype=object)))
    assert len(counts) == FOLDS
    assert counts.min() > 850


def test_a_broken_prompt_has_a_fold_too() -> None:
    assert prompt_folds(np.array(["\ud800", ""], dtype=object)).shape == (2,)
    assert prompt_folds(np.array([], dtype=object)).shape == (0,)
