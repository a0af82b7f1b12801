"""What this book adds to Jupyter Book: measured run times, a line of provenance on every page, and mended pages."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: After the theme and every extension that adds to a page.
LAST = 900


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive ``measured`` and the last touches to every page."""
    app.add_directive("measured", Measured)
    app.connect("html-page-context", add_provenance, priority=LAST)
    app.connect("html-page-context", mend_page, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class Measured(SphinxDirective):
    """The line that says how long this page's notebook took, as its last run measured it."""

    def run(self) -> list[nodes.Node]:
        """Return the line as a paragraph."""
        report = read_report(self.env.srcdir, self.env.docname)
        if report is None:
            raise self.error(f"{self.env.docname} has no report of a run to quote")
        line = nodes.paragraph(classes=["measured"])
        line += nodes.strong(text="Run time")
        line += nodes.Text(f" {describe_run(report)}")
        return [line]


def read_report(srcdir: str | Path, page: str) -> dict[str, Any] | None:
    """Return the report of the notebook behind ``page``, or None if the page is plain text."""
    path = Path(srcdir).parent / "reports" / f"{page}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def describe_run(report: dict[str, Any]) -> str:
    """Say in one line how long a notebook took and with what."""
    seconds = report["duration_s"]
    duration = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    memory = f"{report['peak_memory_bytes'] / 2**30:.1f} GiB"
    return f"{duration} and {memory} of memory ({describe_settings(report)})"


def describe_settings(report: dict[str, Any]) -> str:
    """Say in a few words what a notebook ran with."""
    return f"{report['profile']} profile, {report['device']}, seed {report['seed']}"


def add_provenance(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put version, commit, profile and device at the foot of the page."""
    report = read_report(app.srcdir, pagename)
    facts = [f"wlsc {version('wlsc')}"]
    if report:
        facts += [f"commit {report['commit'][:12]}", describe_settings(report)]
    context["theme_extra_footer"] = f'<p class="provenance">{escape(" · ".join(facts))}</p>'


def mend_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Repair what the theme and the bibliography get wrong in the page."""
    if body := context.get("body"):
        context["body"] = mend_body(body)


def mend_body(body: str) -> str:
    """Return ``body`` without ARIA faults: docutils calls citations a list whose children are no list items."""
    return re.sub(r'(<div class="[^"]*citation-list[^"]*")\s+role="list"', r"\1", body)
