"""What terms mean, said where they are linked to: each link to the glossary carries its definition."""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from sphinx import addnodes
from sphinx.environment import BuildEnvironment

_LINK = re.compile(r'(<a class="reference internal" href="(?:glossary\.html)?#(term-[^"]+)")')


def find_definitions(env: BuildEnvironment) -> dict[str, str]:
    """The definition of every term without its citations, by the place of the term in the glossary."""
    if "glossary" not in env.found_docs:
        return {}
    found = {}
    for item in env.get_doctree("glossary").findall(nodes.definition_list_item):
        definition = next(item.findall(nodes.definition)).deepcopy()
        for reference in list(definition.findall(addnodes.pending_xref)):
            if reference.get("refdomain") == "cite":
                reference.parent.remove(reference)
        text = re.sub(r"\s+([.,;])", r"\1", " ".join(definition.astext().split()))
        found |= {place: text for term in item.findall(nodes.term) for place in term["ids"]}
    return found


def add_definitions(body: str, definitions: dict[str, str]) -> str:
    """Return ``body`` with the definition of each term on the links to it."""

    def defined(link: re.Match[str]) -> str:
        definition = definitions.get(link[2])
        return f'{link[1]} data-definition="{escape(definition)}"' if definition else link[0]

    return _LINK.sub(defined, body)
