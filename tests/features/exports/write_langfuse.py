"""Writes the Langfuse fixtures beside this file with Langfuse's own models; run it once with each version.

``pip install langfuse==2.60.10`` (then 3.15.0, then 5.0.4) and ``python write_langfuse.py``: versions 2 and 3 write
whole traces, observations, and traces with their observations and scores listed apart; version 5 writes the records of
the observations API v2 and the scores API v3. The same calls stand in all of them. No server is asked.
"""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
START = dt.datetime(2026, 3, 2, 8, 0, tzinfo=dt.UTC)


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def chat(question: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "You help people who wait for a parcel."},
        {"role": "user", "content": question},
    ]


def step(trace: str, name: str, kind: str, start: float, end: float | None, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{trace}-{name}",
        "trace_id": trace,
        "name": name,
        "type": kind,
        "start_time": at(start),
        "end_time": None if end is None else at(end),
        "level": "DEFAULT",
        "environment": "production",
        **more,
    }


PARCEL: dict[str, Any] = {
    "id": "t-parcel",
    "name": "helpdesk",
    "user_id": "u-17",
    "session_id": "c-3",
    "at": 0.0,
    "latency": 2.5,
}
LATE: dict[str, Any] = {
    "id": "t-late",
    "name": "helpdesk",
    "user_id": "u-18",
    "session_id": "c-4",
    "at": 60.0,
    "latency": 9.0,
}
JUDGE: dict[str, Any] = {
    "id": "t-judge",
    "name": "judge",
    "user_id": None,
    "session_id": None,
    "at": 90.0,
    "latency": 1.0,
}
TAGS = {"t-parcel": ["intent:tracking", "vip"], "t-late": ["intent:complaint"], "t-judge": []}
QUESTION = {"t-parcel": "Where is my parcel?", "t-late": "My parcel is three days late!", "t-judge": "Rate this."}

STEPS = [
    step("t-parcel", "lookup", "RETRIEVER", 0.1, 0.4, input="parcel"),
    step("t-parcel", "carrier", "TOOL", 0.4, 0.9, input={"number": "PX-1"}),
    # A stream, with tokens of the provider's cache; buckets exclude each other.
    step(
        "t-parcel",
        "answer",
        "GENERATION",
        1.0,
        2.5,
        parent_observation_id="t-parcel-carrier",
        completion_start_time=at(1.3),
        model="gpt-4o-mini",
        input=chat("Where is my parcel?"),
        output="It arrives tomorrow.",
        usage_details={
            "input": 86,
            "input_cached_tokens": 914,
            "output": 30,
            "output_reasoning_tokens": 10,
            "total": 1040,
        },
        cost_details={"input": 0.0001, "input_cached_tokens": 0.0002, "output": 0.0003, "total": 0.0006},
    ),
    step(
        "t-late",
        "first",
        "GENERATION",
        60.0,
        65.0,
        model="gpt-4o-mini",
        input=chat("My parcel is three days late!"),
        level="ERROR",
        status_message="Request timed out.",
    ),
    # This integration passed on inclusive counts: the total is input plus output.
    step(
        "t-late",
        "second",
        "GENERATION",
        65.0,
        69.0,
        model="claude-sonnet",
        input=chat("My parcel is three days late!"),
        output="I am sorry.",
        usage_details={"input": 500, "cache_read_input_tokens": 300, "output": 40, "total": 540},
        cost_details={"total": 0.004},
    ),
    step("t-judge", "verdict", "GENERATION", 90.0, 91.0, model="gpt-4o", environment="langfuse-llm-as-a-judge"),
]

SCORES: list[dict[str, Any]] = [
    {"name": "user-feedback", "value": 1.0, "data_type": "BOOLEAN", "string_value": "True", "source": "API"},
    {"name": "helpful", "value": 0.8, "data_type": "NUMERIC", "source": "EVAL", "observation_id": "t-parcel-answer"},
    {"name": "tone", "value": 2.0, "data_type": "CATEGORICAL", "string_value": "kind", "source": "ANNOTATION"},
    {
        "name": "solved",
        "value": 0.0,
        "data_type": "BOOLEAN",
        "string_value": "False",
        "source": "API",
        "session": True,
    },
]


def write(name: str, lines: list[str]) -> None:
    (HERE / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_traces(major: str) -> None:
    from langfuse.api.resources.commons import types

    def observation(held: dict[str, Any]) -> Any:
        usage = held.get("usage_details", {})
        details = {
            "usage": types.Usage(
                input=usage.get("input", 0), output=usage.get("output", 0), total=usage.get("total", 0), unit="TOKENS"
            ),
            "usage_details": usage,
            "cost_details": held.get("cost_details", {}),
            "calculated_total_cost": held.get("cost_details", {}).get("total"),
            "latency": None if held["end_time"] is None else (held["end_time"] - held["start_time"]).total_seconds(),
        }
        return types.ObservationsView(**{**details, **held})

    def score(held: dict[str, Any], number: int, trace: str) -> Any:
        kind = {"BOOLEAN": "Boolean", "NUMERIC": "Numeric", "CATEGORICAL": "Categorical"}[held["data_type"]]
        model = getattr(types, f"Score_{kind}", None) or getattr(types, f"ScoreV1_{kind}")
        when = {"timestamp": at(5), "created_at": at(5), "updated_at": at(5), "environment": "production"}
        return model(id=f"s-{number}", trace_id=trace, **when, **held)

    full, listed, steps = [], [], []
    for trace in (PARCEL, LATE, JUDGE):
        mine = [observation(held) for held in STEPS if held["trace_id"] == trace["id"]]
        judged = [held for held in SCORES if not held.get("session")] if trace is PARCEL else []
        scores = [score(held, number, trace["id"]) for number, held in enumerate(judged)]
        about = {
            "id": trace["id"],
            "timestamp": at(trace["at"]),
            "name": trace["name"],
            "input": {"question": QUESTION[trace["id"]]},
            "output": "done",
            "session_id": trace["session_id"],
            "user_id": trace["user_id"],
            "release": "r1",
            "metadata": {"channel": "web"},
            "tags": TAGS[trace["id"]],
            "public": False,
            "environment": "langfuse-llm-as-a-judge" if trace is JUDGE else "production",
            "html_path": f"/project/p/traces/{trace['id']}",
            "latency": trace["latency"],
            "total_cost": 0.0046,
        }
        full.append(types.TraceWithFullDetails(observations=mine, scores=scores, **about).json())
        ids = {"observations": [one.id for one in mine], "scores": [one.id for one in scores]}
        listed.append(types.TraceWithDetails(**ids, **about).json())
        steps += [one.json(by_alias=major != "2") for one in mine]
        listed += [one.json() for one in scores]
    write(f"langfuse_v{major}_full.jsonl", full)
    write(f"langfuse_v{major}_listed.jsonl", listed)
    write(f"langfuse_v{major}_observations.jsonl", steps)


def write_records() -> None:
    from langfuse.api import ObservationV2
    from langfuse.api.scores import types

    traces = {trace["id"]: trace for trace in (PARCEL, LATE, JUDGE)}
    observations = [
        ObservationV2(
            project_id="p",
            user_id=traces[held["trace_id"]]["user_id"],
            session_id=traces[held["trace_id"]]["session_id"],
            trace_name=traces[held["trace_id"]]["name"],
            tags=TAGS[held["trace_id"]],
            release="r1",
            metadata={"channel": "web"},
            total_cost=held.get("cost_details", {}).get("total"),
            **held,
        ).json()
        for held in STEPS
    ]
    scores = []
    for number, held in enumerate(SCORES):
        word = held.get("string_value")
        value = {"BOOLEAN": word == "True", "CATEGORICAL": word}.get(held["data_type"], held["value"])
        subject = {"kind": "trace", "id": "t-parcel"}
        if "observation_id" in held:
            subject = {"kind": "observation", "id": held["observation_id"], "trace_id": "t-parcel"}
        if held.get("session"):
            subject = {"kind": "session", "id": "c-3"}
        model = getattr(types, f"ScoreV3_{held['data_type'].capitalize()}")
        when = {"timestamp": at(5), "created_at": at(5), "updated_at": at(5), "environment": "production"}
        about = {"id": f"s-{number}", "project_id": "p", "name": held["name"], "source": held["source"]}
        scores.append(model(value=value, subject=subject, **about, **when).json())
    write("langfuse_v5_observations.jsonl", observations)
    write("langfuse_v5_scores.jsonl", scores)


if __name__ == "__main__":
    found = version("langfuse").split(".")[0]
    write_traces(found) if found in {"2", "3"} else write_records()
