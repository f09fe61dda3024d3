"""Symbols, covalent radii and display colours of the elements.

Radii are the single-bond covalent radii of Cordero et al., Dalton Trans. 2008, 2832 (Z = 1 to 96), in A.
Colours follow the habit of chemistry models for common elements and mark the block of the periodic
table for the others.
"""

from __future__ import annotations

_SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb "
    "Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf "
    "Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
_RADII = (
    "31 28 128 96 84 76 71 66 57 58 166 141 121 111 107 105 102 106 203 176 170 160 153 139 139 132 126 "
    "124 132 122 122 120 119 120 120 116 220 195 190 175 164 154 147 146 142 139 145 144 142 139 139 138 "
    "139 140 244 215 207 204 203 201 199 198 198 196 194 192 192 189 190 187 187 175 170 162 151 144 141 "
    "136 136 132 145 146 148 140 150 150 260 221 215 206 200 196 190 187 180 169"
)
SYMBOLS: tuple[str, ...] = tuple(_SYMBOLS.split())
_RADII_PM = [int(radius) for radius in _RADII.split()]
_RADIUS_UNKNOWN = 1.6  # A, for elements without a tabulated radius

_COMMON = {
    "H": "#f2f2f2", "B": "#e8a798", "C": "#5c5f63", "N": "#3b5bdb", "O": "#d7263d", "F": "#7bc950",
    "Si": "#c9a66b", "P": "#f08c2e", "S": "#e3c729", "Cl": "#2fa84f", "Br": "#8f3a2b", "I": "#7b2cbf",
    "Al": "#b5a6a0", "Fe": "#d9722e", "Cu": "#c67b3c", "Ag": "#b9bfc6", "Au": "#d4a72c", "Ni": "#4fae7b",
    "Ti": "#a3a8b0", "Zn": "#7d80b0", "Ge": "#6f9a8d", "Ga": "#c48f8f", "As": "#a06cc4", "Pb": "#575961",
}  # fmt: skip
_BLOCKS: tuple[tuple[frozenset[int], str], ...] = (
    (frozenset({2, 10, 18, 36, 54, 86, 118}), "#7fd1de"),  # noble gases
    (frozenset({3, 11, 19, 37, 55, 87}), "#a061d1"),  # alkali metals
    (frozenset({4, 12, 20, 38, 56, 88}), "#58b368"),  # alkaline earth metals
    (frozenset(range(57, 72)), "#6ad3b5"),  # lanthanides
    (frozenset(range(89, 104)), "#5b8fd6"),  # actinides
    (frozenset({*range(21, 31), *range(39, 49), *range(72, 81), *range(104, 113)}), "#7f97b2"),
)
_OTHER = "#a98a7b"


def symbol(number: int) -> str:
    """Chemical symbol; `X` for what is not an element."""
    return SYMBOLS[number] if 0 < number < len(SYMBOLS) else "X"


def radius(number: int) -> float:
    """Covalent radius in A."""
    return _RADII_PM[number - 1] / 100 if 0 < number <= len(_RADII_PM) else _RADIUS_UNKNOWN


def colour(number: int) -> str:
    """Display colour as #rrggbb."""
    common = _COMMON.get(symbol(number))
    if common:
        return common
    return next((code for block, code in _BLOCKS if number in block), _OTHER)
