"""``pointsman audit``: what a path is, shows; exit code 1 on a red flag, 0 without, 2 on bad input in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from clean_logs import clean_log

from pointsman.audit.catalogue import CHECKS
from pointsman.cli import main

if TYPE_CHECKING:
    from pathlib import Path

BAD = "model_list:\n  - model_name: gpt-big\n    litellm_params: {model: openai/gpt-big}\n"
SOUND = """\
candidates:
  small: {timeout_ms: 900}
  big: {timeout_ms: 3000}
safe_model: small
objective: {useless_response_usd: 0.2}
guards: {breaker: {error_rate: 0.5}, budget: {usd_per_hour: 20}}
"""


def test_a_bad_configuration_is_caught_in_the_first_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "config.yaml", tmp_path / "audit.json"
    file.write_text(BAD, encoding="utf-8")
    assert main(["audit", str(file), "--json", str(out)]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("4 RED FLAGS in ")
    assert (
        "everything goes to gpt-big; there is no fallback; gpt-big has no timeout; there is no circuit breaker" in first
    )
    assert any("config.yaml:2 model_list.0" in line for line in rest)
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["red_flags"] == 4
    assert all(one["why"] and one["fix"] and one["reference"] for one in document["findings"])


def test_a_sound_configuration_and_clean_traces_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, traces, prompts = tmp_path / "spec.yaml", tmp_path / "log.parquet", tmp_path / "evaluation.txt"
    spec.write_text(SOUND, encoding="utf-8")
    case = clean_log(0, 400)
    case.rows.to_parquet(traces, index=False)
    prompts.write_text("\n".join(case.evaluation.prompts), encoding="utf-8")
    assert main(["audit", str(spec), str(traces), "--evaluation", str(prompts)]) == 0
    assert capsys.readouterr().out.startswith("No red flag in ")


def test_a_bundle_is_audited_with_traces_groups_and_expected_routes(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traces, routes, out = tmp_path / "log.parquet", tmp_path / "routes.jsonl", tmp_path / "audit.json"
    rows = clean_log(0, 300).rows
    rows["model"] = rows["model"].map({"small": "small", "mid": "medium", "big": "large"})
    rows["region"] = [f"r{int(name[1:]) % 2}" for name in rows["request_id"]]
    rows.to_parquet(traces, index=False)
    routes.write_text('{"prompt": "hello", "expect": {"intent": "chat"}}\n', encoding="utf-8")
    told = ["audit", str(traces), "--bundle", str(tiny_bundle), "--prompts", str(routes), "--group", "region"]
    assert main([*told, "--sample", "20", "--json", str(out)]) in {0, 1}
    document = json.loads(out.read_text(encoding="utf-8"))
    expected = {check.code for check in CHECKS if check.subject == "bundle"}
    assert expected <= set(document["checked"])
    assert {row["kind"] for row in document["tables"]["brittle-routing"]} >= {"typos", "terse (written)"}
    assert any("held against 300 requests" in note for note in document["notes"])
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to audit"),
        (["absent.yaml"], "no such file"),
        (["{folder}"], "a folder that is no bundle"),
        (["{file}", "--alpha", "2"], "alpha is 2"),
        (["{file}", "--evaluation", "{file}"], "name a trace table too"),
        (["{file}", "--prompts", "{file}"], "--prompts is for bundles"),
    ],
)
def test_bad_usage_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(SOUND, encoding="utf-8")
    given = [one.format(folder=tmp_path, file=file) for one in arguments]
    assert main(["audit", *given]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_the_table_of_checks_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--checks"]) == 0
    printed = capsys.readouterr().out
    assert all(f"`{check.code}`" in printed for check in CHECKS)
