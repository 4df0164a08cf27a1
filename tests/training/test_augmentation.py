"""New texts: as many as asked, the same for a seed, made of the prompts' words and their neighbours."""

from __future__ import annotations

import numpy as np

from pointsman.augmentation import LONGEST, augmented, neighbours

PROMPTS = ["book a table for two", "what is my balance", "x", "", "cancel the flight to rome please"]


def test_as_many_as_asked_and_the_same_for_a_seed() -> None:
    found = augmented(PROMPTS, 500, seed=3)
    assert len(found) == 500
    assert found == augmented(PROMPTS, 500, seed=3)
    assert found != augmented(PROMPTS, 500, seed=4)
    assert len(set(found)) > 200
    assert augmented([""], 5) == [""] * 5


def test_neighbours_stand_in() -> None:
    near = {"balance": ["account"]}
    words = " ".join(augmented(["balance"], 300, near=near)).split()
    assert "account" in words
    assert "account" not in " ".join(augmented(["balance"], 300)).split()


def test_the_nearest_words_are_found() -> None:
    names = ["a", "b", "c", "d"]
    angles = np.array([0.0, 0.1, 0.3, 2.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = neighbours(["a", "d"], vectors[[0, 3]], names, vectors, count=2)
    assert found == {"a": ["b", "c"], "d": ["c", "b"]}


def test_new_texts_of_long_prompts_are_parts_of_them() -> None:
    long = " ".join(f"w{number}" for number in range(500))
    assert max(len(text.split()) for text in augmented([long, "short one"], 200)) <= 2 * LONGEST
