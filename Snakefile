"""data → train → execute → build: the only file that knows the order.

    snakemake --cores all --config profile=quick [device=cpu] [seed=1]
    snakemake sweep --cores all --config profile=quick       # every cell of the sweeps as a job of its own
    snakemake sweep --profile profiles/slurm --config …      # the same on a cluster

What depends on what is read from the notebooks: the configurations, studies and kept results they load, the modules of
wlsc they import, and the notebooks whose results they say they need. Adding a chapter means writing it and naming it in book/_toc.yml.
"""

import dataclasses
import functools
import importlib
import os
import sys
import tomllib
from pathlib import Path

from filelock import FileLock

from wlsc.companion.notebooks import (
    find_configurations,
    find_needs,
    find_results,
    find_studies,
    is_notebook,
    list_pages,
    read_code,
    read_notebook,
)
from wlsc.experiments.sources import source_closure
from wlsc.experiments.kinds import DATA_KINDS, MODEL_KINDS, study_module
from wlsc._io.tables import suggestion

shell.prefix(f'export PATH="{Path(sys.executable).parent}:$PATH"; ')  # commands of this environment come first

KNOWN = ("profile", "device", "seed", "pdf")
if unknown := sorted(set(config) - set(KNOWN)):
    hint = suggestion(unknown[0], KNOWN)
    raise WorkflowError(f"SETTINGS must be among {', '.join(KNOWN)}, got {', '.join(unknown)}{hint}")
PROFILE = config.get("profile", "quick")
OUT = f"_build/{PROFILE}"

PAGES = list_pages(Path("book/_toc.yml"))
NOTEBOOKS = {page: read_notebook(Path(f"book/{page}.md")) for page in PAGES if is_notebook(Path(f"book/{page}.md"))}
PLAIN = [f"book/{page}.md" for page in PAGES if page not in NOTEBOOKS]
SHARED = [*(path for path in Path("book/_static").rglob("*") if path.is_file()), *Path("book/_ext").glob("*.py")]
#: Tests that say which equation they hold, for the index of equations.
HOLDING = [path for path in Path("tests").rglob("test_*.py") if "mark.equation(" in path.read_text(encoding="utf-8")]
DATA = [*Path("data").rglob("*.toml"), *Path("data").rglob("*.csv")]

#: What was asked for on the command line; what is not keeps the defaults of configurations and notebooks.
SETTINGS = {name: config[name] for name in ("device", "seed") if name in config}

#: Seed of the first training of every cell of a study.
FIRST = str(SETTINGS.get("seed", 0))

#: Studies whose cells only train, and need nothing of one another.
SWEEPS = [
    path.stem
    for path in sorted(Path(f"book/studies/{PROFILE}").glob("*.toml"))
    if study_module(path) == "wlsc.experiments.studies.sweeps"
]

#: Memory (MB) and time (minutes) of a job, where a study does not say what its cells may take.
ALLOWANCE = {"mem_mb": 4000, "runtime": 720}

#: Memory (MB) of a training, a whole study or a notebook: two of `quick` fit into what `make book` may take, also where
#: one of them is a notebook that takes more.
WHOLE = 850 if PROFILE == "quick" else ALLOWANCE["mem_mb"]
MORE = {"unrolling": 1250}

#: The exact versions decide numbers: a new environment runs everything again.
ENVIRONMENT = "constraints.txt"


def sources(code):
    """Files of wlsc that code imports, relative to here: moving the repository changes no input."""
    return [os.path.relpath(path) for path in source_closure(code)]


def kind_sources(module, models, data):
    """Files of a module and of what implements these kinds of models and of data.

    A kind without a module is a baseline, which the module itself imports, or unknown, which the job refuses.
    """
    kinds = [MODEL_KINDS.get(kind) for kind in sorted(models)] + [DATA_KINDS.get(data)]
    return sources("".join(f"import {name}\n" for name in (module, *(kind.module for kind in kinds if kind))))


def training_sources(wildcards):
    """Files that decide the numbers of a training."""
    configuration = tomllib.loads(Path(f"book/experiments/{PROFILE}/{wildcards.name}.toml").read_text())
    return kind_sources("wlsc.experiments", [configuration["model"]["kind"]], configuration["data"]["kind"])


def study_sources(wildcards):
    """Files that decide what the cells of a study measure."""
    path = Path(f"book/studies/{PROFILE}/{wildcards.name}.toml")
    study = tomllib.loads(path.read_text())
    kinds = {given["kind"] for given in (study.get("models") or study["methods"]).values()}
    return kind_sources(study_module(path), kinds, study["data"]["kind"])


def study_records(name):
    """What a study leaves behind: one record of all its cells in `quick`, one of each in `full`."""
    return [f"{OUT}/studied/{name}.json"] if PROFILE == "quick" else cell_records(name)


def cell_records(name):
    return [f"{OUT}/studied/{name}/{cell}.json" for cell in list_cells(name)]


def leading_record(wildcards):
    """The first seed of a cell looks for λ, the others take it over; in a sweep λ is given."""
    leads = wildcards.seed == FIRST or wildcards.name in SWEEPS
    return [] if leads else f"{OUT}/studied/{wildcards.name}/{wildcards.cell}-s{FIRST}.json"


def allowed(name, what):
    """What a job of a study may take."""
    return tomllib.loads(Path(f"book/studies/{PROFILE}/{name}.toml").read_text()).get(what, ALLOWANCE[what])


@functools.cache
def list_cells(name):
    path = Path(f"book/studies/{PROFILE}/{name}.toml")
    study = importlib.import_module(study_module(path)).read_study(path)
    return [cell.name for cell in dataclasses.replace(study, seed=int(FIRST)).list_cells()]


def kept_results(notebook):
    """Results kept with the sources that a notebook reads; what was not measured has no file."""
    paths = [Path(f"results/{name}.json") for name in find_results(notebook)]
    return [path for path in paths if path.exists()]


def notebook_sources(wildcards):
    """Files that decide what an executed notebook holds."""
    return sources(read_code(NOTEBOOKS[wildcards.name]) + "\nimport wlsc.companion.execution")


# Two builds of one profile take turns. The system takes this lock back from a build that was killed, where Snakemake's
# own would stay and stop the next one (the Makefile turns that off).
if workflow.is_main_process:
    Path("_build").mkdir(exist_ok=True)
    BUILDING = FileLock(f"_build/.{PROFILE}.lock")
    BUILDING.acquire()


wildcard_constraints:
    name="[^/]+",
    cell="[^/]+",
    seed=r"\d+",


rule book:
    input:
        f"{OUT}/html/index.html",


rule sweep:
    input:
        [record for name in SWEEPS for record in cell_records(name)],


rule train:
    input:
        ENVIRONMENT,
        DATA,
        training_sources,
        configuration=f"book/experiments/{PROFILE}/{{name}}.toml",
    output:
        f"{OUT}/trained/{{name}}.json",
    # In `quick` two threads everywhere, since sums that are split among more threads round differently.
    threads: 2 if PROFILE == "quick" else workflow.cores
    resources:
        mem_mb=WHOLE,
    params:
        settings=" ".join(f"--{name} {value}" for name, value in SETTINGS.items()),
    shell:
        "wlsc train {input.configuration} {params.settings} --record {output}"


rule study:
    input:
        ENVIRONMENT,
        DATA,
        study_sources,
        study="book/studies/quick/{name}.toml",
    output:
        f"{OUT}/studied/{{name}}.json",
    threads: 2
    resources:
        mem_mb=WHOLE,
    params:
        settings=" ".join(f"--{name} {value}" for name, value in SETTINGS.items()),
    shell:
        "wlsc study run {input.study} {params.settings} --record {output}"


rule cell:
    input:
        ENVIRONMENT,
        DATA,
        study_sources,
        leading_record,
        study=f"book/studies/{PROFILE}/{{name}}.toml",
    output:
        f"{OUT}/studied/{{name}}/{{cell}}-s{{seed}}.json",
    log:
        f"{OUT}/logs/{{name}}/{{cell}}-s{{seed}}.txt",
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * allowed(wildcards.name, "mem_mb"),  # may be what the last one lacked
        runtime=lambda wildcards: allowed(wildcards.name, "runtime"),
    params:
        settings=" ".join(f"--{name} {value}" for name, value in SETTINGS.items()),
    shell:
        """
        wlsc study run {input.study} {wildcards.cell}-s{wildcards.seed} {params.settings} --record {output} 2> {log} \
            || {{ tail -n 1 {log} >&2; exit 1; }}
        """


rule execute:
    input:
        ENVIRONMENT,
        DATA,
        notebook_sources,
        lambda wildcards: expand(f"{OUT}/trained/{{name}}.json", name=find_configurations(NOTEBOOKS[wildcards.name])),
        lambda wildcards: [
            path for name in find_studies(NOTEBOOKS[wildcards.name]) for path in study_records(name)
        ],
        lambda wildcards: kept_results(NOTEBOOKS[wildcards.name]),
        lambda wildcards: expand(f"{OUT}/notebooks/{{name}}.ipynb", name=find_needs(NOTEBOOKS[wildcards.name])),
        notebook="book/{name}.md",
    output:
        f"{OUT}/notebooks/{{name}}.ipynb",
        f"{OUT}/reports/{{name}}.json",
    threads: 1 if PROFILE == "quick" else workflow.cores
    resources:
        mem_mb=lambda wildcards: max(WHOLE, MORE.get(wildcards.name, 0)),
    params:
        parameters=" ".join(f"-p {name} {value}" for name, value in ({"profile": PROFILE} | SETTINGS).items()),
    shell:
        f"wlsc execute {{input.notebook}} {{params.parameters}} --output {OUT}"


#: What the pages are made of; a copy of all of it is what Jupyter Book reads.
CONTENT = {
    "pages": ["book/_toc.yml", "book/references.bib", *PLAIN],
    "notebooks": expand(f"{OUT}/notebooks/{{name}}.ipynb", name=NOTEBOOKS),
}
#: A PDF of an earlier book belongs to no other.
STALE = "" if config.get("pdf") else f"{OUT}/book.pdf"
COLLECT = f"cp -r {{input.pages}} {{input.notebooks}} book/_static {OUT}/figures"


rule build:
    input:
        "_config.yml",
        SHARED,
        HOLDING,
        [f"{OUT}/book.pdf"] if config.get("pdf") else [],
        **CONTENT,
    output:
        f"{OUT}/html/index.html",
    log:
        f"{OUT}/logs/site.txt",
    # The site is built from nothing in a folder of its own and takes the place of the old one when it is complete.
    shell:
        f"""
        rm -rf {OUT}/src {OUT}/site {STALE}
        mkdir -p {OUT}/src
        {COLLECT} {OUT}/src
        NO_COLOR=1 jupyter-book build {OUT}/src --config _config.yml --path-output {OUT}/site -W -n --keep-going \\
            >{{log}} 2>&1 || {{{{ grep -E "WARNING|ERROR" {{log}} >&2 || cat {{log}} >&2; exit 1; }}}}
        for extra in explorers book.pdf; do
            if [ -e {OUT}/$extra ]; then cp -r {OUT}/$extra {OUT}/site/_build/html/; fi
        done
        rm -rf {OUT}/html
        mv {OUT}/site/_build/html {OUT}/html
        rm -rf {OUT}/site
        """


# The same content as one page, printed by a browser: --config pdf=yes makes it before the site, which then links to it.
rule pdf:
    input:
        "_config.yml",
        SHARED,
        HOLDING,
        **CONTENT,
    output:
        f"{OUT}/book.pdf",
    log:
        f"{OUT}/logs/pdf.txt",
    shell:
        f"""
        rm -rf {OUT}/print
        mkdir -p {OUT}/print/src
        ln -s ../reports {OUT}/print/reports
        {COLLECT} {OUT}/print/src
        NO_COLOR=1 jupyter-book build {OUT}/print/src --config _config.yml --path-output {OUT}/print/site \\
            --builder custom --custom-builder singlehtml >{{log}} 2>&1 || {{{{ cat {{log}} >&2; exit 1; }}}}
        wlsc print {OUT}/print/site/_build/singlehtml/index.html {{output}}
        rm -rf {OUT}/print
        """
