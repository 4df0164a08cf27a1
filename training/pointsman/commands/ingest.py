"""``pointsman ingest``: read exports of any known format into one trace table, with a data report and a quarantine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.console import Phases
    from pointsman.ingest_config import IngestConfig
    from pointsman.ingestion.intake import Intake
    from pointsman.pricing.prices import PriceTable

NAME = "ingest"
HELP = "Read traces as they are exported (OpenTelemetry, LiteLLM, Langfuse, MLflow, CSV, …) into one trace table."
EXAMPLE = """pointsman ingest spans.jsonl scores.jsonl --prices prices.csv --out week.parquet
  pointsman ingest export/ --config ingest.yaml --redact email phone key card --out week.parquet
  pointsman ingest --formats"""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("sources", type=Path, nargs="*", metavar="SOURCE", help="files, or folders of them")
    parser.add_argument("--out", type=Path, help="Parquet file of the usable rows")
    parser.add_argument("--format", default="auto", help="a format (see --formats); auto tells each file's by itself")
    parser.add_argument("--formats", action="store_true", help="print which columns each format gives, and leave")
    parser.add_argument(
        "--join", type=Path, nargs="+", default=[], metavar="TABLE", help="tables with request_id and what is lacking"
    )
    parser.add_argument("--config", type=Path, help="YAML: columns, model names, usefulness, intents, redaction, …")
    parser.add_argument("--prices", type=Path, help="price table (CSV, YAML, JSON, or LiteLLM's) for rows without cost")
    parser.add_argument("--spec", type=Path, help="routing spec whose candidates' prices are used")
    parser.add_argument("--redact", nargs="+", metavar="KIND", help="blank these in prompts: all, email, phone, key, …")
    parser.add_argument("--report", type=Path, help="HTML data report (OUT.report.html by default)")
    parser.add_argument("--json", type=Path, help="write the counts and the data report here")
    parser.add_argument(
        "--encoder", default="transformer", help="reads prompts where the config asks for self-trained intents"
    )
    parser.add_argument("--engine", choices=["local", "dask"], default="local", help="where the partitions are read")
    parser.add_argument("--workers", type=_count, default=1, help="processes (1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler that runs already")


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise ValueError(text)
    return int(text)


def run(args: Namespace) -> int:
    """Ingest; print what was kept and put aside, and what the data are like."""
    from pointsman.console import Phases
    from pointsman.errors import PointsmanError
    from pointsman.ingestion.ingest import ingest

    if args.formats:
        _show_formats()
        return 0
    if not args.sources or args.out is None:
        raise PointsmanError("ingest needs a SOURCE and --out; --formats lists what can be read")
    config = _config(args)
    with Phases() as progress:
        intake = ingest(
            args.sources,
            args.out,
            config,
            _prices(args, config),
            format_name=args.format,
            joins=args.join,
            engine_name=args.engine,
            workers=args.workers,
            scheduler=args.scheduler,
            progress=progress,
        )
        wanted = config.intent.self_training
        filled = None if wanted is None else _fill_intents(args, wanted.precision, progress)
        report = _data_report(args, intake, progress)
    if args.json:
        args.json.write_text(json.dumps({**report, "self_training": filled}, indent=2) + "\n", encoding="utf-8")
    _show(args, intake, report, filled)
    return 0


def _show_formats() -> None:
    from pointsman.console import show_table
    from pointsman.formats import FORMATS, fields_table

    sys.stdout.write("".join(f"{name:<18} {reader.title}\n" for name, reader in FORMATS.items()) + "\n")
    show_table(fields_table())


def _config(args: Namespace) -> IngestConfig:
    from pointsman.ingest_config import IngestConfig, load_ingest_config, parse_ingest_config

    config = load_ingest_config(args.config) if args.config else IngestConfig()
    if args.redact:
        kinds: Any = "all" if "all" in args.redact else args.redact
        redact = parse_ingest_config({"redact": kinds}, source="--redact").redact
        config = config.model_copy(update={"redact": redact})
    return config


def _prices(args: Namespace, config: IngestConfig) -> PriceTable:
    """Return the price table; the spec's own prices come first."""
    from pointsman.inputs import own_prices
    from pointsman.pricing.price_files import read_prices
    from pointsman.pricing.prices import PriceTable
    from pointsman.spec import load_spec

    path = args.prices or (Path(config.prices) if config.prices else None)
    table = PriceTable({}) if path is None else read_prices(path)
    return table if args.spec is None else table.under(own_prices(load_spec(args.spec)))


def _fill_intents(args: Namespace, precision: float, progress: Phases) -> dict[str, Any]:
    """Fill intents in the table that was written; return how sure the filling is."""
    from pointsman.encoders import TransformerEncoder
    from pointsman.self_training import fill_intents
    from pointsman.traces import read_traces

    encoder = TransformerEncoder(None if args.encoder == "transformer" else args.encoder)
    table = read_traces(args.out)
    filled = fill_intents(table.rows, encoder, precision, progress=partial(progress, "encode"))
    replace(table, rows=filled.rows).write(args.out)
    return filled.report


def _data_report(args: Namespace, intake: Intake, progress: Phases) -> dict[str, Any]:
    """Profile the table that was written, in order of time; write the HTML report."""
    from pointsman.ingestion.finish import rows_in_time_order
    from pointsman.profile.data_profile import DataProfile
    from pointsman.profile.html import write_html

    profile = DataProfile()
    for rows, done, total in rows_in_time_order(args.out):
        profile.update(rows)
        progress("profile", done, total)
    report = profile.report(intake.to_dict())
    write_html(report, _report_path(args))
    return report


def _show(args: Namespace, intake: Intake, report: dict[str, Any], filled: dict[str, Any] | None) -> None:
    from pointsman.data_report import show_data_report

    for line in (*intake.unpriced.lines(), *intake.labels["unread"]):
        sys.stderr.write(f"pointsman: warning: {line}\n")
    show_data_report(report)
    if filled is not None:
        share, why = filled["labelled_after"] - filled["labelled_before"], filled["refused"]
        sys.stdout.write(f"intents filled by self-training: {share:.0%} of the requests{f' ({why})' if why else ''}\n")
    aside = f", {intake.put_aside:,} put aside in {intake.quarantine}" if intake.put_aside else ""
    sys.stdout.write(f"{intake.kept:,} rows in {args.out}{aside}; report: {_report_path(args)}\n")


def _report_path(args: Namespace) -> Path:
    return Path(args.report or args.out.with_suffix(".report.html"))
