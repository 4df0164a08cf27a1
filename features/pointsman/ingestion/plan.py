"""The plan of an ingest: what every task of it knows, and what each task counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.labelling.usefulness import LabelCounts
from pointsman.labelling.verdicts import Numbers, Survey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointsman.ingest_config import IngestConfig
    from pointsman.ingestion.sources import Partition
    from pointsman.pricing.prices import PriceTable

__all__ = ["JOINED", "Plan", "Tally"]

JOINED = "joined"


@dataclass(frozen=True)
class Plan:
    """What every task of an ingest knows.

    Attributes
    ----------
    partitions : tuple of Partition
    formats : tuple of str
        Of each partition; `JOINED` for tables that complete requests.
    config : IngestConfig
    prices : PriceTable
    buckets : int
        Parts of each exchange.
    work : Path
        Folder of the intermediate files.
    later : frozenset of str
        Columns that joined tables may tell.
    cuts : tuple of int
        Unix microseconds at which the table is cut by time.
    survey : Survey
        The numbers seen in the scores of all sources.
    """

    partitions: tuple[Partition, ...]
    formats: tuple[str, ...]
    config: IngestConfig
    prices: PriceTable
    buckets: int
    work: Path
    later: frozenset[str] = frozenset()
    cuts: tuple[int, ...] = ()
    survey: Survey = field(default_factory=Survey)

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage's files."""
        return self.work / stage


@dataclass
class Tally:
    """What a task counted, by kind and name; tallies add up."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    times: list[tuple[int, list[int]]] = field(default_factory=list)
    """Of each chunk: how many timestamps, and a sample of them in order, Unix microseconds."""
    survey: Survey = field(default_factory=Survey)
    labels: LabelCounts = field(default_factory=LabelCounts)

    def add(self, kind: str, name: str = "", count: int = 1) -> None:
        """Count."""
        if count:
            self.counts.setdefault(kind, Counter())[name] += count

    def add_all(self, kind: str, counts: dict[str, int] | Counter[str]) -> None:
        """Count many names of a kind."""
        for name, count in counts.items():
            self.add(kind, name, count)

    def total(self, kind: str) -> int:
        """Return the sum over all names of a kind."""
        return self.counts.get(kind, Counter()).total()

    def by_name(self, kind: str) -> dict[str, int]:
        """Return the counts of a kind, largest first, equal ones by name."""
        return dict(sorted(self.counts.get(kind, Counter()).items(), key=lambda one: (-one[1], one[0])))

    def write(self, path: Path) -> None:
        """Write as JSON; the file appears complete or not at all, and says that the task is done."""
        held = {
            "counts": self.counts,
            "times": self.times,
            "survey": [[*key, *astuple(seen)] for key, seen in self.survey.numbers.items()],
            "labels": [self.labels.rows, self.labels.by_rule, [[*key, n] for key, n in self.labels.unread.items()]],
        }
        draft = path.with_suffix(".partial")
        draft.write_text(json.dumps(held), encoding="utf-8")
        draft.replace(path)

    @staticmethod
    def read(path: Path) -> Tally:
        """Read back."""
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows, by_rule, unread = held["labels"]
        return Tally(
            {kind: Counter(names) for kind, names in held["counts"].items()},
            [(count, sample) for count, sample in held["times"]],
            Survey({(name, by): Numbers(*seen) for name, by, *seen in held["survey"]}),
            LabelCounts(rows, Counter(by_rule), Counter({(name, by): count for name, by, count in unread})),
        )

    @staticmethod
    def sum(tallies: Iterable[Tally]) -> Tally:
        """Add tallies up."""
        whole = Tally()
        for tally in tallies:
            for kind, names in tally.counts.items():
                whole.add_all(kind, names)
            whole.times += tally.times
            whole.survey.merge(tally.survey)
            whole.labels.merge(tally.labels)
        return whole
