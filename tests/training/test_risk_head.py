"""Hallucination risk on real answers that people labelled."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pointsman.classifier import Features, RequestClassifier
from pointsman.encoders import TransformerEncoder
from pointsman.lexical import Lexicon
from pointsman.risk_head import fit_risk
from pointsman.structure import Structure

FILE = (
    Path(os.environ.get("POINTSMAN_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    / "hallucination"
    / "halueval_general.jsonl"
)


@pytest.mark.skipif(not FILE.is_file(), reason=f"{FILE} is not there; POINTSMAN_DATA names the folder of the data")
def test_words_alone_tell_something_of_the_risk_of_real_queries() -> None:
    """HaluEval: 4,507 user queries, and whether the answer was hallucinated; told without an embedding."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    risky = np.array([row["hallucination"] == "yes" for row in rows], dtype=np.float64)[:, None]
    encoder = TransformerEncoder()
    ids = encoder.token_ids([row["user_query"] for row in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    learn, calibrate, unseen = np.split(order, [int(0.6 * len(rows)), int(0.7 * len(rows))])
    learned = [ids[index] for index in learn]
    lexicon = Lexicon.fit(learned, encoder.vocabulary_size, encoder.special_ids)
    structure = Structure.fit(learned, encoder.vocabulary, encoder.special_ids)
    features = Features.of(np.zeros((len(rows), 1), dtype=np.float32), ids, lexicon, structure)
    intent = np.zeros(len(rows), dtype=np.intp)
    start = RequestClassifier(1).fit_intent(lexicon, features.take(learn), intent[learn], 1 - risky[learn])
    labelled = (risky[learn], None)
    head = fit_risk(start, features.take(learn), intent[learn], labelled, features.take(calibrate), risky[calibrate])
    assert head is not None
    judged = features.take(unseen)
    probs, truth = head(judged.embeddings, judged.pieces, np.ones((len(unseen), 1)))[:, 0], risky[unseen, 0]
    draws = np.random.default_rng(1).integers(0, len(truth), (200, len(truth)))
    assert np.quantile([roc_auc_score(truth[at], probs[at]) for at in draws], 0.025) > 0.5
    assert np.square(probs - truth).mean() < np.square(risky[learn].mean() - truth).mean()
    assert probs.mean() == pytest.approx(truth.mean(), abs=0.03)
