"""The theme's icons, cut down to those that the site shows: its own script for them is the heaviest file of a visit."""

from __future__ import annotations

import re
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx

#: The script that draws icons; the style sheet draws the same ones with a font.
SCRIPT = re.compile(r'\s*<script defer src="[^"]*scripts/fontawesome\.js[^"]*"></script>')

#: A rule of the style sheet that says which letter of the font an icon is.
_RULE = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\([0-9a-f]+) ?"\}')
_NAME = re.compile(r"\bfa-[a-z0-9-]+")


def subset_icons(app: Sphinx, exception: Exception | None) -> None:
    """Leave in the site's style sheet and fonts the icons that its pages and scripts name, and the script out."""
    static = Path(app.outdir) / "_static"
    style = static / "styles" / "pydata-sphinx-theme.css"
    if exception is not None or not style.exists():
        return
    scripts = static / "scripts"
    for path in scripts.glob("fontawesome.js*"):
        path.unlink()
    for path in static.glob("s*/*.map"):  # readable sources of what the theme has packed
        path.unlink()
    named = find_icons([*Path(app.outdir).rglob("*.html"), *scripts.glob("*.js")])
    text, letters = keep_icons(style.read_text(encoding="utf-8"), named)
    for path in (static / "vendor" / "fontawesome" / "webfonts").glob("*.ttf"):
        path.with_suffix(".woff2").unlink()
        if not subset_font(path, letters):
            path.unlink()
            text = re.sub(rf"@font-face\{{[^}}]*{path.name}[^}}]*\}}", "", text)
    style.write_text(text, encoding="utf-8")


def find_icons(paths: list[Path]) -> set[str]:
    """Names of icons, such as ``fa-bars``, in the text of these files."""
    return {name for path in paths for name in _NAME.findall(path.read_text(encoding="utf-8"))}


def keep_icons(style: str, named: set[str]) -> tuple[str, set[int]]:
    """Drop the rules of icons that nobody names, and say which letters the others and the theme's own rules need."""
    letters: set[int] = set()

    def keep(rule: re.Match[str]) -> str:
        if named.isdisjoint(_NAME.findall(rule[1])):
            return ""
        letters.add(int(rule[2], 16))
        return rule[0]

    kept = _RULE.sub(keep, style)
    kept = re.sub(r'url\([^)]*\.woff2\) format\("woff2"\),', "", kept)
    return kept, letters | {int(letter, 16) for letter in re.findall(r'"\\(f[0-9a-f]{3})"', kept)}


def subset_font(path: Path, letters: set[int]) -> bool:
    """Leave in a font file the glyphs of these letters, and tell whether there are any; equal letters, equal bytes."""
    options = Options(recalc_timestamp=False, layout_features=[], name_IDs=[])
    font = TTFont(path, recalcTimestamp=False)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=letters)
    subsetter.subset(font)
    font.save(path)
    return not letters.isdisjoint(font.getBestCmap() or ())
