"""What every metric, parameter and tag of a run means, as the code has it: the table of training/TRACKING.md.

python tests/benchmarks/tracking_names.py [--page training/TRACKING.md]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pointsman.benchmarks.pages import rewrite
from pointsman.tracking.names import names_table


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    if args.page:
        rewrite(args.page, "names", "tests/benchmarks/tracking_names.py", names_table())
    else:
        print(names_table())


if __name__ == "__main__":
    main()
