"""Which columns of the trace table each format can give, as the readers say: the table of features/INGEST.md.

python tests/benchmarks/formats_table.py [--page features/INGEST.md]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pointsman.benchmarks.pages import rewrite
from pointsman.formats import FORMATS, fields_table


def table() -> str:
    """Return the formats and what they give, as Markdown."""
    head, *rows = fields_table()
    titles = [f"- `{name}`: {reader.title}" for name, reader in FORMATS.items()]
    cells = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*titles, "", f"| {' | '.join(head)} |", f"| --- |{' :-: |' * (len(head) - 1)}", *cells])


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    if args.page:
        rewrite(args.page, "formats", "tests/benchmarks/formats_table.py", table())
    else:
        print(table())


if __name__ == "__main__":
    main()
