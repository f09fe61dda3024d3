"""Numbered works: in plain text, as BibTeX, and as parts that a page can link."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlipbench.core.citation import Citation, marks, replace_marks

_MOST_AUTHORS = 6
_ENTRY = {"article": "article", "book": "book", "software": "misc", "dataset": "misc"}
_TEX = str.maketrans({c: f"\\{c}" for c in "&%$#_"} | {"~": "\\textasciitilde{}"})


@dataclass
class Bibliography:
    """Works in the order in which texts cite them; a key that no work has stays a question mark."""

    known: dict[str, Citation]
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, texts: Iterable[str]) -> None:
        """Number the works that the texts mark."""
        for text in texts:
            for key in marks(text):
                if key in self.known:
                    self.numbers.setdefault(key, len(self.numbers) + 1)

    @property
    def works(self) -> list[tuple[int, Citation]]:
        """(number, work) of all that were numbered."""
        return [(number, self.known[key]) for key, number in self.numbers.items()]

    def numbered(self, text: str) -> str:
        """A text with numbers for its marks."""
        return replace_marks(text, self.numbers)


def plain(work: Citation) -> str:
    """`F. H. Stillinger, T. A. Weber, Computer simulation ..., Phys. Rev. B 31, 5262-5271 (1985)`."""
    names = [_given_first(a) for a in work.authors if a != "others"]
    if len(names) < len(work.authors) or len(names) > _MOST_AUTHORS:
        names = [names[0], "et al."]
    place = " ".join(part for part in (work.journal, work.volume) if part)
    if work.pages:
        place = f"{place}, {work.pages}"
    if work.year:
        place = f"{place} ({work.year})".strip()
    parts = [" ".join(names) if names[1:] == ["et al."] else ", ".join(names), work.title, place, work.note]
    return ", ".join(part for part in parts if part)


def _given_first(author: str) -> str:
    family, _, given = author.partition(", ")
    return f"{given} {family}".strip()


def bibtex(works: Iterable[Citation]) -> str:
    """Entries for a .bib file (UTF-8)."""
    return "\n".join(_entry(work) for work in works)


def _entry(work: Citation) -> str:
    fields = {
        "author": " and ".join(work.authors),
        "title": f"{{{work.title}}}",
        "journal": work.journal,
        "volume": work.volume,
        "pages": work.pages.replace("-", "--"),
        "year": str(work.year or ""),
        "doi": work.doi,
        "note": work.note,
    }
    lines = [
        f"  {name} = {{{text if name == 'doi' else text.translate(_TEX)}}},"
        for name, text in fields.items()
        if text and text != "{}"
    ]
    return "\n".join([f"@{_ENTRY[work.kind]}{{{work.key},", *lines, "}", ""])
