"""What the search is shown: beliefs as good, and no better, as those of requests to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pointsman.tune
from pointsman.fit import fit
from pointsman.sample_week import sample_week
from pointsman.spec import parse_spec
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pointsman.decide import Beliefs
    from pointsman.encoders import TransformerEncoder


class ShownError(Exception):
    """Carries what the search was shown."""


@pytest.fixture
def shown(tiny_encoder: TransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function from traces to the beliefs that the search is shown."""

    def stop(beliefs: Beliefs, *_: Any, **__: Any) -> None:
        raise ShownError(beliefs)

    def shown(traces: pd.DataFrame) -> Any:
        monkeypatch.setattr(pointsman.tune, "search", stop)
        with pytest.raises(ShownError) as stopped:
            fit(validate_traces(traces), parse_spec(sample_week(requests=10).spec), tmp_path / "b", tiny_encoder)
        return stopped.value.args[0]

    return shown


def test_no_request_is_judged_by_an_average_that_holds_it(shown: Any) -> None:
    """Turning one request's outcomes round moves its intent's average for the others, not for itself."""
    traces = sample_week(seed=5, requests=600).traces
    request, position = traces["request_id"].unique()[200], 200
    turned = traces.assign(useful=traces["useful"].where(traces["request_id"] != request, 1 - traces["useful"]))
    plain, other = shown(traces), shown(turned)
    moved = np.abs(plain.intent_useful - other.intent_useful)
    alike = plain.intent == plain.intent[position]
    assert moved[:, position].max() < 0.1 * moved[:, alike].max()
