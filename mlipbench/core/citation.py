"""Works that a text cites: `[@wolff2004]` in a methods sentence, a `Citation` behind the key."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_MARK = re.compile(r"\[@([A-Za-z][\w-]*(?:; ?@[A-Za-z][\w-]*)*)\]")


class Citation(BaseModel):
    """A work, with the fields of BibTeX. A DOI is given where it is known for certain, else left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=r"^[A-Za-z][\w-]*$", description="wolff2004: what a text marks as [@wolff2004]")
    kind: Literal["article", "book", "software", "dataset"] = "article"
    authors: tuple[str, ...] = Field(
        default=(), description='"Wolff, U.", one entry an author; "others" for those not named'
    )
    title: str = Field(min_length=1)
    journal: str = ""
    volume: str = ""
    pages: str = Field(default="", description="143-153, or the number of the article")
    year: int | None = None
    doi: str = Field(default="", pattern=r"^(10\.\d{4,9}/\S+)?$")
    note: str = Field(default="", description="what else finds it: an address, a licence, a sha256")


def marks(text: str) -> list[str]:
    """Keys that a text marks, each once, in order."""
    found = (key for group in _MARK.findall(text) for key in re.split(r"; ?@", group))
    return list(dict.fromkeys(found))


def replace_marks(text: str, number: dict[str, int], left: str = "[", right: str = "]") -> str:
    """A text with numbers in the place of its marks: `[@a; @b]` becomes `[1, 2]`."""

    def numbers(match: re.Match[str]) -> str:
        return f"{left}{', '.join(str(number.get(key, '?')) for key in marks(match[0]))}{right}"

    return _MARK.sub(numbers, text)
