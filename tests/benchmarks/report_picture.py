"""Photograph a report page with Chromium for the README: the top of it, on a screen and beside it on a phone.

python tests/benchmarks/report_picture.py --page quickstart/report.html --picture notebooks/images/report.png
"""

from __future__ import annotations

import argparse
import html
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS, HEIGHT, GAP = (980, 360), 1180, 24
COLOURS = 64
"""Colours of the picture: text on plain ground needs few, and the file stays small."""


def main() -> int:
    """Write the picture; exit code 2 where there is no browser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    args = parser.parse_args()
    browser = os.environ.get("POINTSMAN_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        sys.stderr.write(f"no browser: none of {', '.join(NAMES)} on the path, and POINTSMAN_CHROMIUM is not set\n")
        return 2
    source = html.escape(args.page.read_text(encoding="utf-8"))
    style = f"height:{HEIGHT}px;border:1px solid #ccd2dc;border-radius:6px;background:white"
    frames = "".join(f'<iframe srcdoc="{source}" scrolling="no" style="width:{w}px;{style}"></iframe>' for w in WIDTHS)
    page = f'<!doctype html><body style="margin:{GAP}px;display:flex;gap:{GAP}px;background:white">{frames}</body>'
    with tempfile.TemporaryDirectory() as folder:
        both, shot = Path(folder) / "both.html", Path(folder) / "shot.png"
        both.write_text(page, encoding="utf-8")
        size = f"{sum(WIDTHS) + 3 * GAP + 8},{HEIGHT + 2 * GAP + 4}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        flags += ["--disable-component-update", "--disable-sync", "--hide-scrollbars"]
        flags += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}/profile"]
        command = [browser, *flags, f"--window-size={size}", f"--screenshot={shot}", both.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        picture = Image.open(shot).convert("RGB").quantize(COLOURS)
        args.picture.parent.mkdir(parents=True, exist_ok=True)
        picture.save(args.picture, optimize=True)
    sys.stdout.write(f"{args.picture}: {args.picture.stat().st_size / 1000:.0f} kB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
