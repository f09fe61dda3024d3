"""The report as one HTML file that needs nothing but itself: no network, no fonts, no scripts."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from mlipbench.core.citation import marks, replace_marks
from mlipbench.report import words
from mlipbench.report.bibliography import Bibliography, plain
from mlipbench.report.drawings import Section, sections
from mlipbench.report.models import RunView
from mlipbench.report.quality import LARGEST, STEPS, Quality
from mlipbench.store import layout

_NUMBER = r"[−\d][\d.]*(?: ± [\d.]+)?\)?(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
_UNIT = r"(?:meV|eV|K|ps|fs|Å|GPa|bar|THz|MB|%)(?:[³²]|/[A-Za-zÅ]+[³²]?)*"
_QUANTITY = re.compile(rf"(?:(?:&lt;|&gt;)[  ])?(?<![\w.])\(?{_NUMBER}[  ]{_UNIT}(?![A-Za-z])")
_GLOSSARY = ((re.compile(r"95 % bound|\bbound\b"), "bound"), (re.compile(r"\bgrade\b"), "grade"))


def render(run: RunView) -> str:
    """The report's HTML, drawn as finely as 5 MB allow."""
    pages = environment(run.bibliography)
    page = ""
    for quality in STEPS:
        without = [replace(suite, figures=[]) for suite in run.suites]
        words_only = _page(pages, run, sections(without, quality, 0) or [], quality)
        found = sections(run.suites, quality, LARGEST - len(words_only.encode()))
        if found is not None:
            page = _page(pages, run, found, quality)
            if len(page.encode()) <= LARGEST:
                break
    return page


def _page(pages: Environment, run: RunView, found: list[Section], quality: Quality) -> str:
    return pages.get_template("report.html").render(
        run=run,
        sections=found,
        quality=quality,
        contract=layout.CONTRACT,
        use_line=_use_line(run),
        plan=_cut(run.plan, quality.text),
        badges=list(words.BADGES.values()),
        terms=words.TERMS,
        plain_work=plain,
        text_uri=text_uri,
    )


def environment(bibliography: Bibliography) -> Environment:
    """Templates with the filters that a page needs; `bibliography` numbers the works that it cites."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["prose"] = lambda text: _prose(text, bibliography.numbers)
    found.filters["reason"] = _reason
    return found


def _prose(text: str, numbers: dict[str, int]) -> Markup:
    """A sentence in print: quantities that do not break, `code`, citations as links."""
    html = str(escape(text))
    for mark in dict.fromkeys(re.findall(r"\[@[^\]]+\]", html)):
        links = [f'<a href="#work-{key}">{numbers[key]}</a>' for key in marks(mark) if key in numbers]
        html = html.replace(mark, f"[{', '.join(links)}]" if links else replace_marks(mark, numbers))
    html = re.sub(r"`([^`<>]+)`", r"<code>\1</code>", html)
    return Markup(_QUANTITY.sub(r'<span class="q">\g<0></span>', html))


def _reason(text: str) -> Markup:
    """A verdict's reason, its terms linked to the glossary."""
    html = str(_prose(text, {}))
    for pattern, anchor in _GLOSSARY:
        html = pattern.sub(rf'<a class="term" href="#term-{anchor}">\g<0></a>', html, count=1)
    return Markup(html)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "\n[the rest is in plan.lock.yaml]"


def text_uri(text: str) -> str:
    """A text that a link can download without a server."""
    return "data:text/plain;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def _use_line(run: RunView) -> str:
    use = run.results.intended_use
    parts = [", ".join(use.elements), ", ".join(use.phases), f"{use.temperature_K:g} K"]
    if use.pressure_bar is not None:
        parts.append(f"{use.pressure_bar:g} bar")
    return "; ".join(part for part in parts if part)
