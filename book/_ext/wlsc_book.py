"""What this book adds to Jupyter Book: run times, costs, provenance, tables, links to data, repairs of the theme."""

from __future__ import annotations

import inspect
import re
import shutil
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import generated_pages
from docutils import nodes
from docutils.parsers.rst.directives.tables import CSVTable
from docutils.statemachine import StringList
from generated_pages import read_report
from icons import SCRIPT, subset_icons
from poster import POSTER, POSTER_TEXT, find_picture, write_poster
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from terms import add_definitions, find_definitions

import wlsc
from wlsc.companion.records import Cost, load_costs

#: Before and after the theme and every other extension.
FIRST, LAST = 100, 900


def setup(app: Sphinx) -> dict[str, Any]:
    """Register directives, generated pages, links to the numbers behind figures, and the last touches to every page."""
    app.add_directive("measured", Measured)
    app.add_directive("costs", Costs)
    app.add_directive("saved-table", SavedTable)
    app.add_directive("cite-software", CiteSoftware)
    app.add_transform(LinkFigureData)
    app.connect("config-inited", add_launch_buttons)
    app.connect("env-updated", keep_definitions)
    app.connect("source-read", link_to_executed)
    app.connect("source-read", write_generated)
    app.connect("autodoc-process-docstring", translate_docstring, priority=LAST)
    app.connect("autodoc-skip-member", skip_what_others_add)
    app.connect("html-page-context", add_top_links, priority=LAST)
    app.connect("html-page-context", add_provenance, priority=LAST)
    app.connect("html-page-context", mend_page, priority=LAST)
    app.connect("build-finished", write_index, priority=FIRST)
    app.connect("build-finished", copy_texts)
    app.connect("build-finished", write_poster)
    app.connect("build-finished", mend_theme)
    app.connect("build-finished", subset_icons, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def add_launch_buttons(app: Sphinx, config: Config) -> None:
    """Add buttons for Binder and Colab if the repository has an address: a release puts its notebooks on a branch."""
    if config.html_theme_options.get("repository_url"):
        config.html_theme_options |= {
            "repository_branch": "notebooks",
            "use_repository_button": True,
            "path_to_docs": "book",
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


class Measured(SphinxDirective):
    """The line that says how long this page's notebook took, as its last run measured it."""

    def run(self) -> list[nodes.Node]:
        """Return the line as HTML, which a page's description for search engines leaves out."""
        report = read_report(self.env.srcdir, self.env.docname)
        if report is None:
            raise self.error(f"{self.env.docname} has no report of a run to quote")
        line = f'<p class="measured"><strong>Run time</strong> {escape(describe_run(report))}</p>'
        return [nodes.raw("", line, format="html")]


class Costs(SphinxDirective):
    """The table of what every chapter of this build took; written here, since no two builds take the same time."""

    def run(self) -> list[nodes.Node]:
        """Return the table as HTML."""
        found = load_costs(Path(self.env.srcdir).parent)
        return [nodes.raw("", format_costs(found), format="html")]


def format_costs(found: list[Cost]) -> str:
    """Return a table with one row per chapter."""
    rows = [(cost.notebook, cost.n_jobs, f"{60 * cost.hours:.1f}", cost.device) for cost in found]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("chapter", "jobs", "device-minutes", "device"))
    # spaces between the cells, or the index of the search takes a row for one word
    body = "".join(f"<tr>{' '.join(f'<td>{escape(str(value))}</td>' for value in row)}</tr> " for row in rows)
    return f'<table class="table measured"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


class SavedTable(CSVTable):
    """A table that a notebook has saved: its name, and below it the caption.

    It can be referred to as ``tab-`` and the name, and links to its file.
    """

    required_arguments, optional_arguments, final_argument_whitespace = 1, 0, False

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        name, caption = self.arguments[0], " ".join(self.content)
        file = f"figures/{name}.csv"
        self.arguments, self.content = [caption], StringList()
        self.options |= {"file": file, "header-rows": 1, "name": f"tab-{name}", "class": ["saved-table"]}
        found = super().run()
        for title in found[0].findall(nodes.title):
            title += link_to_data(file)
        for entry in next(found[0].findall(nodes.tbody)).findall(nodes.entry):
            if re.match(r"[+−-]?[\d.]+(?!\w)", entry.astext()):
                entry["classes"].append("number")
        return found

    def parse_csv_data_into_rows(self, *args: Any) -> tuple[list[list[tuple[Any, ...]]], int]:
        """Return what the cells hold; a mark that stands alone is no bullet of a list."""
        rows, n_columns = super().parse_csv_data_into_rows(*args)
        for *_, lines in (cell for row in rows for cell in row):
            if len(lines) == 1 and lines[0].strip() in BULLETS:
                lines[0] = f"\\{lines[0].strip()}"
        return rows, n_columns


#: Marks that begin an item of a list in Markdown.
BULLETS = ("*", "+", "-")


class CiteSoftware(SphinxDirective):
    """How this software is cited, with its version."""

    def run(self) -> list[nodes.Node]:
        """Return the entry for BibTeX."""
        text = SOFTWARE.format(version=version("wlsc"), url=format_url(self.config))
        return [nodes.literal_block(text, text, language="bibtex")]


class LinkFigureData(SphinxTransform):
    """Links from the caption of a figure that a notebook has saved to the numbers in it."""

    default_priority = 500

    def apply(self, **_: Any) -> None:
        """Add the links."""
        for figure in self.document.findall(nodes.figure):
            image, caption = next(figure.findall(nodes.image)), next(figure.findall(nodes.caption), None)
            file = Path(image["uri"]).with_suffix(".csv")
            if caption is not None and (Path(self.env.srcdir) / file).exists():
                caption += link_to_data(file.as_posix())


def link_to_data(file: str) -> list[nodes.Node]:
    """Link to a CSV file that readers can download."""
    text = nodes.inline("", "data")
    return [nodes.Text(" "), addnodes.download_reference("", "", text, reftarget=file, classes=["data-link"])]


def describe_run(report: dict[str, Any]) -> str:
    """Say in one line how long a notebook took and with what."""
    training = sum(report["training_s"].values())
    duration = describe_seconds(report["duration_s"]) + (
        f" after {describe_seconds(training)} of training" if training else ""
    )
    memory = f"{report['peak_memory_bytes'] / 2**30:.1f} GiB"
    return f"{duration}, {memory} of memory ({describe_settings(report)})"


def describe_seconds(seconds: float) -> str:
    """Say a duration in the unit that a reader would choose."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def describe_settings(report: dict[str, Any]) -> str:
    """Say in a few words what a notebook ran with."""
    return f"{report['profile']} profile, {report['device']}, seed {report['seed']}"


def link_to_executed(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead links between chapters, which name the text notebooks, to the executed ones that the site is built from."""

    def executed(link: re.Match[str]) -> str:
        exists = (Path(app.srcdir) / f"{link[1]}.ipynb").exists()
        return f"]({link[1]}.ipynb" if exists else link[0]

    source[0] = re.sub(r"\]\((\w+)\.md(?=[#)])", executed, source[0])


def write_generated(app: Sphinx, page: str, source: list[str]) -> None:
    """Write what is generated into the pages that are."""
    if page == "api":
        source[0] += generated_pages.contents(Path(app.srcdir))
    elif page in generated_pages.REFERENCE:
        source[0] += generated_pages.reference(page)
    elif page in ("equation_index", "figure_index"):
        write = {"equation_index": generated_pages.equations, "figure_index": generated_pages.figures}[page]
        source[0] += "\n" + write(Path(app.srcdir))


def translate_docstring(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Make what is meant for readers of the source safe for a page with many docstrings.

    Numbered references are footnotes, whose numbers would clash, and bars as in ‖x‖ = |x| are substitutions.
    """
    text = "\n".join(lines)
    text = re.sub(r"^\.\. \[(\d+)\]", r"\1.", text, flags=re.MULTILINE)
    text = re.sub(r"\[(\d+)\]_", r"[\1]", text)
    text = re.sub(r"``.*?``|>>>.*|\|", lambda found: r"\|" if found[0] == "|" else found[0], text)
    lines[:] = text.split("\n")


def skip_what_others_add(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples, which their classes describe, and scikit-learn's requests of metadata."""
    is_field = inspect.isdatadescriptor(member) and type(member).__name__ == "_tuplegetter"
    return True if is_field or re.fullmatch(r"set_\w+_request", name.rpartition(".")[2]) else None


#: How a page and the software are cited; the paper itself is on the page on how to cite.
CITATION = """@misc{{wlsc-{name},
  author = {{{{The wlsc authors}}}},
  title = {{{page}}},
  howpublished = {{wlsc {version}, the executable companion to
    Clustering Inductive Biases with Unrolled Networks}},
  version = {{{version}}},{url}
  year = {{2026}}
}}"""
SOFTWARE = """@software{{wlsc,
  author = {{{{The wlsc authors}}}},
  title = {{wlsc: the executable companion to Clustering Inductive Biases with Unrolled Networks}},
  version = {{{version}}},{url}
  year = {{2026}}
}}"""

#: The paper that this book is a companion to.
PAPER = "https://arxiv.org/abs/2402.10213"

#: Label of the section that says how one runs the book.
RUN = "go-on"


def format_url(config: Config) -> str:
    """The line with the repository's address in an entry for BibTeX; nothing where it has none."""
    url = config.html_theme_options.get("repository_url")
    return f"\n  url = {{{url}}}," if url else ""


def add_top_links(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put a link to the paper before the buttons of every page, and one to how the book is run where no button does."""
    links = [top_link("The paper", "The paper (arXiv:2402.10213)", "fa-file-lines", PAPER)]
    page, label = app.env.get_domain("std").anonlabels.get(RUN, (None, ""))
    if page and not app.config.html_theme_options.get("repository_url"):
        address = context["pathto"](page).removesuffix("#")  # which is all of it on the page itself
        links.append(top_link("Run it", "Run the book yourself", "fa-play", f"{address}#{label}"))
    context["header_buttons"] = links + context.get("header_buttons", [])


def top_link(text: str, tooltip: str, icon: str, url: str) -> dict[str, str]:
    """A button of the theme that leads somewhere."""
    button = {"type": "link", "text": text, "tooltip": tooltip, "icon": f"fas {icon}", "url": url}
    return button | {"label": "top-link"}


def find_text(page: str) -> Path | None:
    """Path of the text from which a page is made; None for a page that nobody wrote, such as the index."""
    path = Path(wlsc.__file__).parents[1] / "book" / f"{page}.md"
    return path if path.exists() else None


def add_provenance(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put at the foot of the page with what it was made, in which forms it can be had, and how to cite it."""
    report = read_report(app.srcdir, pagename)
    facts = [f"wlsc {version('wlsc')}"]
    if made := report or read_report(app.srcdir, app.config.root_doc):  # pages without code are of the same build
        facts += [f"commit {made['commit'][:12]}", describe_settings(made)]
    has_pdf = (Path(app.srcdir).parent / "book.pdf").exists()
    links = [f'<a href="_sources/{pagename}.md" download>text</a>'] if find_text(pagename) else []
    links += [f'<a href="_sources/{pagename}.ipynb" download>executed notebook</a>'] if report else []
    links += [f'<a href="{context["pathto"]("book.pdf", 1)}">whole book as PDF</a>'] if has_pdf else []
    url = format_url(app.config)
    cite = CITATION.format(page=context.get("title", ""), version=version("wlsc"), name=pagename, url=url)
    context["theme_extra_footer"] = (
        f'<p class="provenance">{escape(" · ".join(facts))}</p>'
        + (f'<p class="provenance">Download: {" · ".join(links)}</p>' if links else "")
        + f'<details class="provenance"><summary>Cite this page</summary><pre>{escape(cite)}</pre></details>'
        + format_feedback(app.config, pagename)
    )


def format_feedback(config: Config, pagename: str) -> str:
    """A line that leads readers who found a fault to the repository's issues, where it has an address."""
    url = config.html_theme_options.get("repository_url")
    if not url:
        return ""
    address = f"{url.removesuffix('.git')}/issues/new?title={pagename}:%20"
    return f'<p class="provenance">Wrong, or hard to follow? <a href="{escape(address)}">Say so</a>.</p>'


def mend_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Repair what the theme and the extensions get wrong in a page."""
    context["body"] = mend_body(context.get("body") or "")
    for kind in ("script_files", "css_files"):  # Jupyter Book loads all of _static everywhere; explorers name their own
        context[kind] = [file for file in context[kind] if not str(file.filename).startswith("_static/explorers/")]
    context["body"] = add_definitions(context["body"], app.env.definitions)
    if pagename == "api":  # where all names had their places when it was one page
        context["body"] = re.sub(
            r'<a class="reference internal" href="api_\w+\.html#([\w.]+)"', r'\g<0> id="\1"', context["body"]
        )
    context["metatags"] = mend_metatags(context.get("metatags") or "", app)


def keep_definitions(app: Sphinx, env: BuildEnvironment) -> None:
    """Read the glossary once for all pages."""
    env.definitions = find_definitions(env)


def mend_metatags(tags: str, app: Sphinx) -> str:
    """Return the description of a page for search engines and previews without citations, and with the poster."""
    tags = re.sub(r"\s*\[\s?[^\]\"]*\d{4}[a-z]?\]", "", tags)
    address = app.config.ogp_site_url.rstrip("/")
    if not address:  # the address of the page is not known then, and a relative one is none
        tags = re.sub(r'<meta property="og:url"[^>]*>\s*', "", tags)
    if not tags or find_picture(app) is None:
        return tags
    size = (("width", "1200"), ("height", "630"), ("alt", POSTER_TEXT))
    picture = f"{address}/{POSTER}" if address else POSTER  # some previews follow a relative one
    shown = f'<meta property="og:image" content="{picture}" />\n'
    shown += "".join(f'<meta property="og:image:{name}" content="{value}" />\n' for name, value in size)
    return f'{tags}{shown}<meta name="twitter:card" content="summary_large_image" />\n'


def mend_body(body: str) -> str:
    """Return ``body`` without false ARIA roles and labels and without dead links.

    docutils calls the bibliography a list, whose children are no list items, and gives these a role that only list
    items may have. What unfolds a cell says so, and has a label that says something else. viewcode leads back from a
    listing by the path under which the first name of a module is documented, where others have another.
    """
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    body = body.replace(' role="doc-biblioentry">', ">")
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    return re.sub(r'<a class="viewcode-back" [^>]*>.*?</a>', "", body)


def write_index(app: Sphinx, exception: Exception | None) -> None:
    """Write the page that leads from the site's own address to its first page, unless the build failed."""
    if exception is None and app.builder.name == "html":
        start, title = f"{app.config.root_doc}.html", escape(app.config.html_title)
        (Path(app.outdir) / "index.html").write_text(
            f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0; url={start}">
</head>
<body><a href="{start}">{title}</a></body>
</html>
""",
            encoding="utf-8",
        )


def copy_texts(app: Sphinx, exception: Exception | None) -> None:
    """Copy the text of every page beside the executed notebooks that readers can download."""
    if exception is None and app.builder.name == "html":
        for page in app.env.found_docs:
            if path := find_text(page):
                shutil.copyfile(path, Path(app.outdir) / "_sources" / f"{page}.md")


#: Where the theme's templates fail readers of screens: a button whose label is not what can be read on it, icons whose
#: titles count as its text, the title of the book outside of every landmark, and a nameless mark that unfolds pages.
THEME_FAULTS = {
    r'(<button class="btn search-button-field[^>]*?) aria-label="Search"': r"\1",
    r'(<i class="theme-switch [^>]*?) +title="[^"]*"': r'\1 aria-hidden="true"',
    r'<div (class="sidebar-primary-items__start)': r'<div role="navigation" aria-label="Book" \1',
    r'<summary>(<span class="toctree-toggle")': r'<summary aria-label="Pages below">\1',
    SCRIPT.pattern: "",  # the style sheet draws the same icons
}


def mend_theme(app: Sphinx, exception: Exception | None) -> None:
    """Repair in every page what the theme's own templates get wrong for readers of screens."""
    for path in Path(app.outdir).rglob("*.html") if exception is None else ():
        text = path.read_text(encoding="utf-8")
        for fault, mended in THEME_FAULTS.items():
            text = re.sub(fault, mended, text)
        path.write_text(text, encoding="utf-8")
