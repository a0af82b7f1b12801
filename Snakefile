"""data → train → execute → build: the only file that knows the order.

    snakemake --cores all --config profile=quick [device=cpu] [seed=1]

What depends on what is read from the notebooks: the configurations they load, the modules of wlsc they import, and
the notebooks whose results they say they need. Adding a chapter means writing it and naming it in book/_toc.yml.
"""

from pathlib import Path

from wlsc._notebooks import find_configurations, find_needs, is_notebook, list_pages, read_notebook
from wlsc._sources import source_closure

PROFILE = config.get("profile", "quick")
CONFIGURATIONS = f"book/experiments/{PROFILE}"
OUT = f"_build/{PROFILE}"

PAGES = list_pages(Path("book/_toc.yml"))
NOTEBOOKS = {page: read_notebook(Path(f"book/{page}.md")) for page in PAGES if is_notebook(Path(f"book/{page}.md"))}
PLAIN = [f"book/{page}.md" for page in PAGES if page not in NOTEBOOKS]
SHARED = [path for folder in ("book/_static", "book/_ext") for path in Path(folder).rglob("*") if path.suffix != ".pyc"]

#: What a notebook is run with; settings that are not given keep the notebook's own defaults.
PARAMETERS = {"profile": PROFILE} | {name: config[name] for name in ("device", "seed") if name in config}

#: The exact versions decide numbers: a new environment runs everything again.
ENVIRONMENT = "constraints.txt"


wildcard_constraints:
    name="[^/]+",


rule book:
    input:
        f"{OUT}/html/index.html",


rule train:
    input:
        ENVIRONMENT,
        source_closure(["wlsc.experiments"]),
        configuration=f"{CONFIGURATIONS}/{{name}}.toml",
    output:
        f"{OUT}/trained/{{name}}.json",
    # One training at a time has all cores. In `quick` that is two everywhere, since sums that are split among more
    # threads round differently.
    threads: 2 if PROFILE == "quick" else workflow.cores
    shell:
        "wlsc train {input.configuration} --record {output}"


rule execute:
    input:
        ENVIRONMENT,
        lambda wildcards: source_closure([f"book/{wildcards.name}.md"]),
        lambda wildcards: expand(f"{OUT}/trained/{{name}}.json", name=find_configurations(NOTEBOOKS[wildcards.name])),
        lambda wildcards: expand(f"{OUT}/notebooks/{{name}}.ipynb", name=find_needs(NOTEBOOKS[wildcards.name])),
        notebook="book/{name}.md",
    output:
        f"{OUT}/notebooks/{{name}}.ipynb",
        f"{OUT}/reports/{{name}}.json",
    params:
        parameters=" ".join(f"-p {name} {value}" for name, value in PARAMETERS.items()),
    shell:
        f"wlsc execute {{input.notebook}} {{params.parameters}} --output {OUT}"


rule build:
    input:
        "_config.yml",
        SHARED,
        pages=["book/_toc.yml", "book/references.bib", *PLAIN],
        notebooks=expand(f"{OUT}/notebooks/{{name}}.ipynb", name=NOTEBOOKS),
    output:
        f"{OUT}/html/index.html",
    log:
        f"{OUT}/logs/site.txt",
    # The site is built from nothing in a folder of its own and takes the place of the old one when it is complete.
    shell:
        f"""
        rm -rf {OUT}/src {OUT}/site
        mkdir -p {OUT}/src
        cp -r {{input.pages}} {{input.notebooks}} book/_static {OUT}/src
        jupyter-book build {OUT}/src --config _config.yml --path-output {OUT}/site -W -n --keep-going >{{log}} 2>&1 \\
            || {{{{ cat {{log}} >&2; exit 1; }}}}
        rm -rf {OUT}/html
        mv {OUT}/site/_build/html {OUT}/html
        rm -rf {OUT}/site
        """
