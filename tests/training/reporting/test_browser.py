"""The page in a real browser: it fits a phone, can be read in light and dark, asks the net for nothing, and prints.

Skipped where there is no Chromium on the path and POINTSMAN_CHROMIUM names none.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.reporting.page import report_page

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--hide-scrollbars"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
PROBE = Path(__file__).with_name("probe.js").read_text(encoding="utf-8")
Browse = "Callable[..., tuple[str, str]]"


@pytest.fixture(scope="session")
def chromium() -> str:
    found = os.environ.get("POINTSMAN_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} on the path, and POINTSMAN_CHROMIUM is not set")
    return found


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Return a function from a page and flags to what the browser printed, and its log."""

    def browse(page: Path, *flags: str) -> tuple[str, str]:
        command = [chromium, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        return done.stdout, done.stderr

    return browse


@pytest.fixture(scope="module")
def page(nine_models: dict[str, Any], identity: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    example = {"kind": "lost", "prompt": "w" * 160, "intent": "chat", "from": "a", "to": "b" * 60}
    flags = {"severity": "high", "what": "No fallback.", "why": "A failure ends there.", "fix": "Name one."}
    text = report_page(
        nine_models,
        identity,
        overhead={"requests": 49, "p50_ms": 1.2, "p95_ms": 3.4, "machine": "a machine", "cores": 2, "load": 9.0},
        audit={
            "verdict": "1 RED FLAG.",
            "findings": [flags, {**flags, "severity": "medium"}, {**flags, "severity": "low"}],
        },
        examples=[{**example, "useful": [1.0, 0.0], "cost_usd": [0.1, 0.01]}],
        notes=["A note."],
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def probed(page: Path, browse: Callable[..., tuple[str, str]], *flags: str) -> tuple[list[dict[str, Any]], str]:
    """Look at the page in a frame as wide as a phone's screen and in one as wide as a desk's."""
    source = html.escape(page.read_text(encoding="utf-8"))
    frames = "".join(
        f'<iframe srcdoc="{source}" style="width:{width}px;height:800px;border:0"></iframe>' for width in (360, 1200)
    )
    probe = page.with_name("probe.html")
    probe.write_text(f"<!doctype html><body><script>{PROBE}</script>{frames}</body>", encoding="utf-8")
    out, log = browse(probe, "--dump-dom", "--window-size=1400,1000", *flags)
    found = re.search(r'<pre id="found">(.*?)</pre>', out, re.DOTALL)
    assert found, log[-2000:]
    return json.loads(html.unescape(found[1])), log


def asked_by_pages(netlog: Path) -> set[str]:
    """Return what pages asked the net for; what the browser asks for itself has no page as its origin."""
    text = netlog.read_text(encoding="utf-8").rstrip().rstrip(",")
    try:
        log = json.loads(text)
    except ValueError:  # the browser ended before it closed the list
        log = json.loads(f"{text}]}}")
    events = [event.get("params") or {} for event in log["events"]]
    started = [one for one in events if one.get("initiator", "not an origin") != "not an origin"]
    return {one["url"] for one in started if one["url"].startswith(("http", "ws", "ftp"))}


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_can_be_read_and_needs_no_net(page: Path, browse: Any, tmp_path: Path, dark: bool) -> None:
    netlog = tmp_path / "net.json"
    scheme = f"--blink-settings=preferredColorScheme={int(not dark)}"
    (phone, desk), log = probed(page, browse, scheme, f"--log-net-log={netlog}")
    for view, width in ((phone, 360), (desk, 1200)):
        assert view["width"] == view["scroll"] == width
        assert view["wide"] == []
        assert view["dark"] is dark
        assert view["read"] > 200
        assert view["faint"] == [], "contrast below WCAG AA"
        assert view["small"] == []
        assert view["drawn"] == view["pictures"] == 10
        assert view["reachable"], "wide tables scroll by keyboard"
    assert "CONSOLE" not in log, log[-2000:]
    assert asked_by_pages(netlog) == set(), "the page asks the net for nothing"


def test_a_request_to_the_net_would_be_seen(browse: Any, tmp_path: Path) -> None:
    page, netlog = tmp_path / "page.html", tmp_path / "net.json"
    page.write_text('<iframe srcdoc="<img src=http://example.invalid/x.png>"></iframe>', encoding="utf-8")
    browse(page, "--dump-dom", f"--log-net-log={netlog}")
    assert asked_by_pages(netlog) == {"http://example.invalid/x.png"}


def test_it_prints(page: Path, browse: Any, tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    browse(page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 2 <= pages <= 8
