"""Writes the table of checks into the page of the audit: python tests/benchmarks/audit_checks.py policies/AUDIT.md."""

from __future__ import annotations

import sys
from pathlib import Path

from pointsman.audit.catalogue import as_markdown
from pointsman.benchmarks.pages import rewrite

if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), "checks", "pointsman audit --checks", as_markdown())
