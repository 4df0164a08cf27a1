"""What an ingest read, kept and put aside."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pointsman.pricing.prices import Unpriced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pointsman.ingestion.plan import Tally

__all__ = ["Intake", "intake_of"]


@dataclass(frozen=True)
class Intake:
    """What an ingest read, kept and put aside; the counts add up.

    ``rows = kept + rows_aside``, and ``put_aside = records_aside + spans_left + rows_aside + joined_aside``: the
    quarantine file holds every one of them, with the rule that it broke.

    Attributes
    ----------
    files : dict of str to str
        Format of each source file.
    records : int
        Lines, rows or elements read; blank lines are none.
    spans : int
        Steps found in them; 0 for table formats.
    rows : int
        Answers made of them.
    kept : int
    records_aside : int
        Records that could not be parsed or read, or hold no step of a request.
    spans_left : int
        Steps that belong to no answered request, and judgements of none.
    rows_aside : int
        Answers that break a rule of the trace table.
    joined_aside : int
        Rows of joined tables that break a rule, or name no request of the sources.
    put_aside : int
        Lines of the quarantine file.
    quarantine : Path
        It is there where anything was put aside.
    joined : int
        Rows of joined tables that completed an answer.
    reasons : dict of str to int
        Put aside, by the rule they broke, most frequent first.
    unpriced : Unpriced
        Models without a price.
    labels : dict
        How answers got their usefulness (see `pointsman.usefulness.LabelCounts.report`).
    unread : dict of str to int
        Answers with a score that no rule reads, by its name.
    redacted : dict of str to int
        By kind.
    fingerprint : str
        Of the table written.
    """

    files: dict[str, str]
    records: int
    spans: int
    rows: int
    kept: int
    records_aside: int
    spans_left: int
    rows_aside: int
    joined_aside: int
    put_aside: int
    quarantine: Path
    joined: int
    reasons: dict[str, int]
    unpriced: Unpriced
    labels: dict[str, Any]
    unread: dict[str, int]
    redacted: dict[str, int]
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values in the words of the data report (see `pointsman.profile.DataProfile.report`)."""
        return {
            "sources": list(self.files),
            "format": ", ".join(dict.fromkeys(self.files.values())),
            "created": datetime.now(tz=UTC).isoformat(timespec="seconds"),
            "fingerprint": self.fingerprint,
            "records": self.records,
            "spans": self.spans,
            "spans_without_call": self.reasons.get("trace: must hold a model call", 0),
            "rows_in": self.kept + self.put_aside,
            "kept": self.kept,
            "joined": self.joined,
            "aside": self.reasons,
            "prices_missing": dict(self.unpriced.missing),
            "redactions": self.redacted,
            "labels": self.labels,
            "scores_unread": self.unread,
        }


def intake_of(
    whole: Tally,
    files: Mapping[Path, str],
    listed: Sequence[str],
    kept: tuple[int, str],
    put_aside: tuple[int, Path],
) -> Intake:
    """Return the intake of all tasks together.

    Parameters
    ----------
    whole : Tally
    files : mapping of Path to str
        Format of each source.
    listed : sequence of str
        Models with a price.
    kept : int, str
        Rows written, their fingerprint.
    put_aside : int, Path
        Lines of the quarantine file, and where it is.
    """
    return Intake(
        files={str(file): name for file, name in files.items()},
        records=whole.total("records"),
        spans=whole.total("spans"),
        rows=whole.total("rows"),
        kept=kept[0],
        records_aside=whole.total("records_aside"),
        spans_left=whole.total("spans_left"),
        rows_aside=whole.total("rows_aside"),
        joined_aside=whole.total("joined_aside"),
        put_aside=put_aside[0],
        quarantine=put_aside[1],
        joined=whole.total("joined"),
        reasons=whole.by_name("aside"),
        unpriced=Unpriced(Counter(whole.by_name("unpriced")), Counter(whole.by_name("priced_early")), tuple(listed)),
        labels=whole.labels.report(whole.survey),
        unread=_by_name(whole.labels.unread),
        redacted=whole.by_name("redacted"),
        fingerprint=kept[1],
    )


def _by_name(unread: Counter[tuple[str, str]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (name, _), count in unread.items():
        counts[name] += count
    return dict(counts.most_common())
