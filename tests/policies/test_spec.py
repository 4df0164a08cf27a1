"""The routing spec: what may be written, and how well the errors read."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.errors import SpecError
from pointsman.spec import FreeFailureWarning, RelativeRate, RoutingSpec, load_spec, parse_spec

if TYPE_CHECKING:
    from pathlib import Path

FULL = """\
candidates:
  small-precise: {input_usd_per_mtok: 0.15, output_usd_per_mtok: 0.60}
  big-decoder-v2: {input_usd_per_mtok: 5, output_usd_per_mtok: 15, context_window: 128000, timeout_ms: 30000}
baseline: big-decoder-v2
safe_model: small-precise
constraints:
  p95_latency_ms: 220
  useful_rate: {relative_to: baseline, margin: 0.01}
  confidence: 0.95
"""
SHORT = """\
routing:
  default_model: small-precise
  fallbacks:
    - model: big-decoder-v2
      when: ["complex_synthesis", "long_context"]
      cost_threshold_ms: 200
  retry_policy: exponential_backoff
"""
BASE = """\
candidates:
  small: {}
  big-v2: {modalities: [text, image]}
safe_model: small
"""


def load(folder: Path, text: str | bytes) -> RoutingSpec:
    file = folder / "spec.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_spec(file)


def fault(folder: Path, text: str | bytes) -> str:
    """Return the error's line, without the folder."""
    with pytest.raises(SpecError) as caught:
        load(folder, text)
    said = str(caught.value)
    assert "\n" not in said
    for jargon in ("Input should", "RelativeRate", "float", "union", "literal", "pydantic", "unicode string"):
        assert jargon not in said
    return said.removeprefix(f"{folder}/")


def test_the_full_form_of_the_contract(tmp_path: Path) -> None:
    spec = load(tmp_path, FULL)
    assert list(spec.candidates) == ["small-precise", "big-decoder-v2"]
    big = spec.candidates["big-decoder-v2"]
    assert (big.input_usd_per_mtok, big.output_usd_per_mtok, big.context_window, big.timeout_ms) == (
        5,
        15,
        128000,
        30000,
    )
    assert (spec.baseline, spec.safe_model) == ("big-decoder-v2", "small-precise")
    assert spec.constraints.p95_latency_ms == 220
    assert spec.constraints.useful_rate == RelativeRate(relative_to="baseline", margin=0.01)
    assert spec.constraints.confidence == 0.95


def test_the_short_form_of_the_contract(tmp_path: Path) -> None:
    spec = load(tmp_path, SHORT)
    assert list(spec.candidates) == ["small-precise", "big-decoder-v2"]
    assert (spec.safe_model, spec.baseline) == ("small-precise", "best_single")
    assert spec.fallbacks is not None
    assert [one.model_dump() for one in spec.fallbacks] == [
        {"model": "big-decoder-v2", "when": ["complex_synthesis", "long_context"], "cost_threshold_ms": 200}
    ]
    assert spec.guards.retry_policy == "exponential_backoff"
    assert load(tmp_path, "routing: {default_model: a}").fallbacks == []


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    spec = load(tmp_path, BASE)
    assert spec.baseline == "best_single"
    assert spec.candidates["small"].modalities == ["text"]
    assert spec.candidates["small"].input_usd_per_mtok is None
    assert spec.constraints.useful_rate is None
    assert spec.fallbacks is None
    assert spec.objective.useless_response_usd == 0


@pytest.mark.parametrize(("text", "rate"), [("0.8", 0.8), ("1", 1), ("{margin: -0.1}", RelativeRate(margin=-0.1))])
def test_the_useful_rate_is_a_number_or_relative(tmp_path: Path, text: str, rate: Any) -> None:
    assert load(tmp_path, f"{BASE}constraints: {{useful_rate: {text}}}").constraints.useful_rate == rate


def test_abstention_is_searched_or_fixed_and_has_a_model(tmp_path: Path) -> None:
    fixed = load(tmp_path, f"{BASE}rules: {{abstain: {{below_confidence: 0.4, model: big-v2}}}}").rules.abstain
    searched = load(tmp_path, f"{BASE}rules: {{abstain: {{model: big-v2}}}}").rules.abstain
    assert fixed is not None
    assert searched is not None
    assert (fixed.below_confidence, fixed.model) == (0.4, "big-v2")
    assert searched.below_confidence == "searched"
    assert load(tmp_path, BASE).rules.abstain is None


@pytest.mark.parametrize(
    ("windows", "allowed"),
    [
        ((8000, None), "big"),
        ((8000, 8001), "big"),
        ((8000, 8000), "no candidate; lower long_context_tokens or give one a larger context_window"),
    ],
)
def test_the_model_for_long_requests_must_have_room_for_them(windows: tuple[Any, Any], allowed: str) -> None:
    small, big = ({"context_window": size} if size else {} for size in windows)
    document: dict[str, Any] = {"candidates": {"small": small, "big": big}, "safe_model": "small"}
    with pytest.raises(SpecError) as caught:
        parse_spec({**document, "rules": {"long_context": "small"}})
    assert str(caught.value) == (
        "spec: rules.long_context is 'small', whose context_window of 8000 takes no request of more than "
        f"long_context_tokens (8000); allowed: {allowed}"
    )
    fits = parse_spec({**document, "rules": {"long_context": "small"}, "long_context_tokens": 7999})
    assert fits.rules.long_context == "small"


def test_what_proves_the_constraints(tmp_path: Path) -> None:
    spec = load(tmp_path, f"{BASE}certificate: cross_fitted\nconstraints: {{holds_over_requests: 5000}}")
    assert (spec.certificate, spec.constraints.holds_over_requests) == ("cross_fitted", 5000)
    spec = load(tmp_path, BASE)
    assert (spec.certificate, spec.constraints.holds_over_requests) == ("auto", None)


def test_the_objective_may_be_its_name(tmp_path: Path) -> None:
    spec = load(tmp_path, f"{BASE}objective: cost_per_useful_response")
    assert spec.objective.minimise == "cost_per_useful_response"


RELATIVE = "a number from 0 to 1, or a mapping {relative_to: baseline, margin: a number from -1 to 1}"
RETRY = (
    "none, exponential_backoff, or a mapping with the keys max_retries, base_ms, cap_ms, budget_share, budget_floor, "
    "window_s, failures"
)
POSITIVE = "a number above 0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("constraints: {useful_rate: high}", f"constraints.useful_rate is 'high'; allowed: {RELATIVE}"),
        ("constraints: {useful_rate: 1.5}", f"constraints.useful_rate is 1.5; allowed: {RELATIVE}"),
        ("constraints: {useful_rate: true}", f"constraints.useful_rate is true; allowed: {RELATIVE}"),
        (
            "constraints: {useful_rate: {relativ_to: baseline}}",
            (
                "constraints.useful_rate.relativ_to is an unknown key (did you mean relative_to?); allowed: "
                "relative_to, margin"
            ),
        ),
        (
            "constraints: {useful_rate: {relative_to: me}}",
            "constraints.useful_rate.relative_to is 'me'; allowed: baseline",
        ),
        (
            "constraints: {useful_rate: {margin: 2}}",
            "constraints.useful_rate.margin is 2; allowed: a number from -1 to 1",
        ),
        ("constraints: {confidence: 1}", "constraints.confidence is 1; allowed: a number of at least 0.5 and below 1"),
        ("constraints: {p95_latency_ms: fast}", f"constraints.p95_latency_ms is 'fast'; allowed: {POSITIVE}"),
        ("constraints: {p95_latency_ms: .nan}", f"constraints.p95_latency_ms is nan; allowed: {POSITIVE}"),
        ("constraints: {p95_latency_ms: -.inf}", f"constraints.p95_latency_ms is -inf; allowed: {POSITIVE}"),
        ("constraints: {p95_latency_ms: '220'}", f"constraints.p95_latency_ms is '220'; allowed: {POSITIVE}"),
        ("requests_per_month: true", f"requests_per_month is true; allowed: {POSITIVE}"),
        ("long_context_tokens: 1.5", "long_context_tokens is 1.5; allowed: a whole number above 0"),
        (
            "objective: {useless_response_usd: -1}",
            "objective.useless_response_usd is -1; allowed: a number of at least 0",
        ),
        ("objective: cheap", "objective.minimise is 'cheap'; allowed: cost_per_useful_response"),
        ("guards: {retry_policy: linear}", f"guards.retry_policy is 'linear'; allowed: {RETRY}"),
        (
            "guards: {retry_policy: {max_retries: two}}",
            "guards.retry_policy.max_retries is 'two'; allowed: a whole number from 0 to 20",
        ),
        (
            "guards: {retry_policy: {max_retry: 2}}",
            (
                "guards.retry_policy.max_retry is an unknown key (did you mean max_retries?); allowed: max_retries, "
                "base_ms, cap_ms, budget_share, budget_floor, window_s, failures"
            ),
        ),
        (
            "guards: {breaker: {error_rate: true}}",
            "guards.breaker.error_rate is true; allowed: a number from 0.01 to 1",
        ),
        (
            "guards: {budget: {usd_per_hour: 0}}",
            "guards.budget.usd_per_hour is 0; allowed: a number from 0.000001 to 1000000000000",
        ),
        ("guards: {exploration_share: 2}", "guards.exploration_share is 2; allowed: a number from 0 to 1"),
        ("modelled: [1]", "modelled.0 is 1; allowed: a text: put it in quotes"),
        ("fallbacks: small", "fallbacks is 'small'; allowed: a list of mappings, each with a model"),
        (
            "fallbacks: [small]",
            "fallbacks.0 is 'small'; allowed: a mapping with the keys model, when, cost_threshold_ms",
        ),
        ("fallbacks: [{when: [a]}]", "fallbacks.0.model is missing; allowed: the name of a candidate"),
        (
            "fallbacks: [{model: small, wen: [a]}]",
            "fallbacks.0.wen is an unknown key (did you mean when?); allowed: model, when, cost_threshold_ms",
        ),
        (
            "rules: {modalities: {video: small}}",
            "rules.modalities.video is an unknown key; allowed: text, image, audio",
        ),
        (
            "guards:",
            (
                "guards is nothing; allowed: a mapping with the keys retry_policy, breaker, budget, "
                "budget_usd_per_day, cached_answer, simpler_model, exploration_share, lease_ms, or {} for none of them"
            ),
        ),
        (
            "baseline: big-v3",
            (
                "baseline is 'big-v3', which is no candidate (did you mean big-v2?); allowed: small, big-v2; or "
                "as_logged, best_single"
            ),
        ),
        (
            "baseline: 1.5",
            "baseline is 1.5; allowed: the name of a candidate, as_logged or best_single: put it in quotes",
        ),
        ("rules: {intents: {a.b: tiny}}", "rules.intents.a.b is 'tiny', which is no candidate; allowed: small, big-v2"),
        (
            "rules: {modalities: {image: tiny}}",
            "rules.modalities.image is 'tiny', which is no candidate; allowed: small, big-v2",
        ),
        (
            "rules: {modalities: {image: small}}",
            "rules.modalities.image is 'small', which takes only text; allowed: big-v2",
        ),
        (
            "rules: {modalities: {audio: small}}",
            (
                "rules.modalities.audio is 'small', which takes only text; allowed: no candidate; give one of them "
                "audio under modalities"
            ),
        ),
        (
            "fallbacks: [{model: smal}]",
            "fallbacks.0.model is 'smal', which is no candidate (did you mean small?); allowed: small, big-v2",
        ),
        (
            "guards: {simpler_model: tiny}",
            "guards.simpler_model is 'tiny', which is no candidate; allowed: small, big-v2",
        ),
        (
            "constraints: {holds_over_requests: 0}",
            "constraints.holds_over_requests is 0; allowed: a whole number above 0",
        ),
        ("certificate: maybe", "certificate is 'maybe'; allowed: auto, split, cross_fitted, none"),
        ("certificate:", "certificate is nothing; allowed: auto, split, cross_fitted, none"),
        (
            "rules: {long_context: big}",
            "rules.long_context is 'big', which is no candidate (did you mean big-v2?); allowed: small, big-v2",
        ),
        (
            "rules: {abstain: small}",
            (
                "rules.abstain is 'small'; allowed: a mapping with the keys "
                "below_confidence, model, out_of_scope_false_alarms"
            ),
        ),
        ("rules: {abstain: {}}", "rules.abstain.model is missing; allowed: the name of a candidate"),
        (
            "rules: {abstain: {model: tiny}}",
            "rules.abstain.model is 'tiny', which is no candidate; allowed: small, big-v2",
        ),
        (
            "rules: {abstain: {model: small, below_confidenc: 0.5}}",
            (
                "rules.abstain.below_confidenc is an unknown key (did you mean below_confidence?); allowed: "
                "below_confidence, model, out_of_scope_false_alarms"
            ),
        ),
        *(
            (
                f"rules: {{abstain: {{below_confidence: {value}, model: small}}}}",
                f"rules.abstain.below_confidence is {said}; allowed: a number from 0 to 1, or searched",
            )
            for value, said in {"1.5": "1.5", "high": "'high'", "true": "true", "": "nothing", "[1]": "[1]"}.items()
        ),
        (
            "constraints: {budget_usd_per_day: 5}",
            (
                "constraints.budget_usd_per_day is 5, but requests_per_month is missing: a budget is for a traffic; "
                "give both"
            ),
        ),
    ],
)
def test_a_fault_names_line_key_value_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    assert fault(tmp_path, f"# a comment\n{BASE}\n{text}\n") == f"spec.yaml, line 7: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "spec.yaml: the file is empty; a mapping with the keys candidates and safe_model is needed"),
        ("# nothing\n", "spec.yaml: the file is empty; a mapping with the keys candidates and safe_model is needed"),
        ("[1, 2]", "spec.yaml: the spec is [1, 2]; a mapping with the keys candidates and safe_model is needed"),
        ("a: b: c", "spec.yaml, line 1: not YAML: mapping values are not allowed here"),
        ("a: 1\nb: [", "spec.yaml, line 2: not YAML: expected the node content, but found '<stream end>'"),
        ("a: 1\n---\nb: 1", "spec.yaml, line 2: not YAML: but found another document"),
        ("? [a]\n: 1", "spec.yaml, line 1: not YAML: found unhashable key"),
        (b"a: \xff", "spec.yaml: not UTF-8 text: byte 0xff at 3"),
        ("a: &x [*x]", "spec.yaml: candidates is missing; "),
        ("[" * 5000, "spec.yaml: not YAML: "),
        (
            "a: !!python/object:os.system {}",
            "spec.yaml, line 1: not YAML: could not determine a constructor for the tag",
        ),
        (f"{BASE}safe_model: small", "spec.yaml, line 5: safe_model is given twice (first on line 4); once is allowed"),
        (
            "candidates:\n  a: {}\n  b: {}\n  a: {timeout_ms: 5}\nsafe_model: a",
            "spec.yaml, line 4: candidates.a is given twice (first on line 2); once is allowed",
        ),
        ("candidates: {a: {}}", "spec.yaml: safe_model is missing; allowed: the name of a candidate"),
        (
            "candidates: {}\nsafe_model: a",
            "spec.yaml, line 1: candidates is {}; allowed: a mapping of at least one model ",
        ),
        (
            "candidates:\n  a:\nsafe_model: a",
            "spec.yaml, line 2: candidates.a is nothing; allowed: a mapping with the keys ",
        ),
        (
            "candidates:\n  a:\n    input_usd_per_mtok: -1\nsafe_model: a",
            "spec.yaml, line 3: candidates.a.input_usd_per_mtok is -1; allowed: a number of at least 0",
        ),
        (
            "candidates:\n  gpt-4.1: {modalities: [text, smell]}\nsafe_model: gpt-4.1",
            "spec.yaml, line 2: candidates.gpt-4.1.modalities.1 is 'smell'; allowed: text, image, audio",
        ),
        (
            "candidates: {a: {modalities: []}}\nsafe_model: a",
            "spec.yaml, line 1: candidates.a.modalities is []; allowed: a list of at least one of text, image, audio",
        ),
        (
            "candidates: {best_single: {}}\nsafe_model: best_single",
            "spec.yaml, line 1: candidates.best_single is a word of ",
        ),
        ("candidates: {'': {}}\nsafe_model: ''", "spec.yaml, line 1: candidates has the name ''; "),
        (
            "routing: fast",
            "spec.yaml, line 1: routing is 'fast'; allowed: a mapping with default_model, fallbacks, retry_policy",
        ),
        (
            "routing:\n  default_modl: a",
            (
                "spec.yaml, line 2: routing.default_modl is unknown (did you mean default_model?); allowed: "
                "default_model, fallbacks, retry_policy"
            ),
        ),
        ("routing: {}", "spec.yaml, line 1: routing.default_model is missing; allowed: a model name"),
        (
            "routing: {default_model: 5}",
            "spec.yaml, line 1: routing.default_model is 5; allowed: the name of a candidate: put it in quotes",
        ),
        (
            SHORT.replace("200", "-1"),
            f"spec.yaml, line 6: routing.fallbacks.0.cost_threshold_ms is -1; allowed: {POSITIVE}",
        ),
        (
            SHORT.replace("model: big-decoder-v2", "modl: x"),
            "spec.yaml, line 4: routing.fallbacks.0.model is missing; ",
        ),
        (
            SHORT.replace("exponential_backoff", "linear"),
            f"spec.yaml, line 7: routing.retry_policy is 'linear'; allowed: {RETRY}",
        ),
        (
            f"{SHORT}constraints: {{}}",
            "spec.yaml, line 8: constraints stands beside routing; the short form is routing alone",
        ),
    ],
)
def test_what_is_no_spec_at_all_is_one_clear_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert fault(tmp_path, text).startswith(said)


def test_of_several_faults_the_first_in_the_file_is_told_and_the_others_counted(tmp_path: Path) -> None:
    text = BASE + "constraints:\n  confidence: 3\n  p95_latency_ms: fast\n  useful_rate: {margn: 1}\nobjectiv: 1\n"
    assert re.fullmatch(r"spec.yaml, line 6: constraints.confidence is 3; .* \(3 more faults\)", fault(tmp_path, text))
    text = BASE.replace("safe_model: small", "safe_model: x") + "baseline: y\nrules: {intents: {a: z}}\n"
    assert fault(tmp_path, text).startswith("spec.yaml, line 4: safe_model is 'x'")
    assert fault(tmp_path, text).endswith(" (2 more faults)")
    assert fault(tmp_path, text.replace("baseline: y\n", "")).endswith(" (1 more fault)")


def test_names_are_texts_as_they_were_written(tmp_path: Path) -> None:
    names = ["Yes", "on", "1.50", "007", "1:30", "2026-01-01", "null", "true"]
    keys = "".join(f"  {name}: {{}}\n" for name in names)
    assert list(load(tmp_path, f"candidates:\n{keys}safe_model: Yes").candidates) == names
    for name in ("on", "1:30", "2026-01-01", "'1.50'", "'null'"):
        assert load(tmp_path, f"candidates:\n{keys}safe_model: {name}").safe_model == name.strip("'")


@pytest.mark.parametrize(("text", "value"), [("1e5", 1e5), ("1_000", 1000), ("010", 10), (".5", 0.5), ("2.5E-1", 0.25)])
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: float) -> None:
    assert load(tmp_path, f"{BASE}requests_per_month: {text}").requests_per_month == value


def test_anchors_and_merges_are_read(tmp_path: Path) -> None:
    spec = load(tmp_path, "candidates: {a: &x {timeout_ms: 5}, b: *x, c: {<<: *x, concurrency: 2}}\nsafe_model: a")
    assert spec.candidates["a"] == spec.candidates["b"]
    assert (spec.candidates["c"].timeout_ms, spec.candidates["c"].concurrency) == (5, 2)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + FULL) == load(tmp_path, FULL)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.yaml: cannot be read: No such file or directory$"):
        load_spec(tmp_path / "gone.yaml")
    with pytest.raises(SpecError, match=r"cannot be read: Is a directory$"):
        load_spec(tmp_path)


def test_plain_values_need_no_file() -> None:
    assert parse_spec({"candidates": {"a": {}}, "safe_model": "a"}).safe_model == "a"
    with pytest.raises(SpecError, match=r"^quickstart: safe_model is 'b', which is no candidate; allowed: a$"):
        parse_spec({"candidates": {"a": {}}, "safe_model": "b"}, source="quickstart")
    with pytest.raises(SpecError, match=r"^spec: the spec is nothing; "):
        parse_spec(None)


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("", True),
        ("constraints: {p95_latency_ms: 5, hallucination_rate: 0.1}", True),
        ("constraints: {useful_rate: 0}", True),
        ("constraints: {useful_rate: {margin: 1}}", True),
        ("constraints: {useful_rate: 0.5}", False),
        ("constraints: {useful_rate: {margin: 0.01}}", False),
        ("objective: {useless_response_usd: 0.01}", False),
    ],
)
def test_free_failures_are_warned_of_exactly_once(tmp_path: Path, text: str, warned: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spec = load(tmp_path, f"{BASE}{text}")
        assert not caught
        spec.warn()
    assert [one.category for one in caught] == [FreeFailureWarning] * warned
    for one in caught:
        said = str(one.message)
        assert "the cheapest model always wins on cost per useful response, because failures are free" in said
        assert "constraints.useful_rate" in said
        assert "objective.useless_response_usd" in said
        assert one.filename == __file__


NAME = st.sampled_from(
    ["Yes", "1.5", "1e3", "null", "2026-01-01", "~", "a: b", "#x", "深", "a.b", "0x1F", "1:30", "<<", "=", " x"]
) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=5).filter(str.strip)


@settings(max_examples=50, deadline=None)
@given(st.lists(NAME, min_size=1, max_size=4, unique=True), st.floats(1e-9, 1e9), st.data())
def test_a_spec_written_as_yaml_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], number: float, data: st.DataObject
) -> None:
    pick = st.sampled_from(names)
    document: dict[str, Any] = {
        "candidates": {name: {"input_usd_per_mtok": number, "modalities": ["text", "image"]} for name in names},
        "baseline": data.draw(pick),
        "safe_model": data.draw(pick),
        "requests_per_month": number,
        "constraints": {
            "useful_rate": data.draw(st.floats(0, 1) | st.just({"margin": 0.25})),
            "budget_usd_per_day": number,
        },
        "certificate": data.draw(st.sampled_from(["auto", "split", "cross_fitted", "none"])),
        "rules": {
            "intents": {data.draw(NAME): data.draw(pick)},
            "modalities": {"image": data.draw(pick)},
            "long_context": data.draw(pick),
            "abstain": {"below_confidence": data.draw(st.floats(0, 1) | st.just("searched")), "model": data.draw(pick)},
        },
        "fallbacks": [{"model": data.draw(pick), "when": [data.draw(NAME)]}],
        "guards": {"retry_policy": data.draw(st.sampled_from(["none", {"max_retries": 2}]))},
        "modelled": data.draw(st.lists(NAME, max_size=2)),
    }
    spec = parse_spec(document)
    assert load(tmp_path_factory.getbasetemp(), spec.to_yaml()) == spec


def test_yaml_tells_what_was_said_not_the_defaults(tmp_path: Path) -> None:
    assert (
        load(tmp_path, BASE).to_yaml()
        == "candidates:\n  small: {}\n  big-v2:\n    modalities:\n    - text\n    - image\nsafe_model: small\n"
    )


KEYS = [*RoutingSpec.model_fields, "model", "margin", "useful_rate", "retry_policy", "intents", "routing"]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=4)
        | st.sampled_from(["small", "text"]),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_is_written_is_a_spec_or_one_line(value: Any) -> None:
    base = {"candidates": {"small": {}}, "safe_model": "small"}
    for document in (value, {**base, "constraints": value, "guards": value}):
        said = ""
        try:
            parse_spec(document)
        except SpecError as error:
            said = str(error)
        assert "\n" not in said
        assert "Input should" not in said
