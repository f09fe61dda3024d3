"""Works that the built-in suites, potentials and the judge rest on. DOIs only where certain."""

from __future__ import annotations

from mlipbench.core.citation import Citation


def _article(
    key: str, authors: str, title: str, journal: str, volume: int, pages: str, year: int, doi: str = ""
) -> Citation:
    """An article; `authors` are "Family, I." joined by "; "."""
    return Citation(
        key=key,
        authors=tuple(authors.split("; ")),
        title=title,
        journal=journal,
        volume=str(volume),
        pages=pages,
        year=year,
        doi=doi,
    )


_JCP = "J. Chem. Phys."

VELOCITY_VERLET = _article(
    "swope1982", "Swope, W. C.; Andersen, H. C.; Berens, P. H.; Wilson, K. R.",
    "A computer simulation method for the calculation of equilibrium constants for the formation of "
    "physical clusters of molecules: Application to small water clusters",
    _JCP, 76, "637-649", 1982, "10.1063/1.442716",
)  # fmt: skip
BAOAB = _article(
    "leimkuhler2013", "Leimkuhler, B.; Matthews, C.",
    "Rational construction of stochastic numerical methods for molecular sampling",
    "Appl. Math. Res. eXpress", 2013, "34-56", 2013, "10.1093/amrx/abs010",
)  # fmt: skip
VELOCITY_RESCALING = _article(
    "bussi2007", "Bussi, G.; Donadio, D.; Parrinello, M.", "Canonical sampling through velocity rescaling",
    _JCP, 126, "014101", 2007, "10.1063/1.2408420",
)  # fmt: skip
AUTOCORRELATION = _article(
    "wolff2004", "Wolff, U.", "Monte Carlo errors with less errors",
    "Comput. Phys. Commun.", 156, "143-153", 2004, "10.1016/S0010-4655(03)00467-3",
)  # fmt: skip
EQUILIBRATION = _article(
    "chodera2016", "Chodera, J. D.",
    "A simple method for automated equilibration detection in molecular simulations",
    "J. Chem. Theory Comput.", 12, "1799-1805", 2016, "10.1021/acs.jctc.5b00784",
)  # fmt: skip
RESTRICTED_LIKELIHOOD = _article(
    "harville1977", "Harville, D. A.",
    "Maximum likelihood approaches to variance component estimation and to related problems",
    "J. Am. Stat. Assoc.", 72, "320-338", 1977, "10.1080/01621459.1977.10480998",
)  # fmt: skip
BOOTSTRAP = _article(
    "efron1979", "Efron, B.", "Bootstrap methods: Another look at the jackknife",
    "Ann. Statist.", 7, "1-26", 1979, "10.1214/aos/1176344552",
)  # fmt: skip
RULE_OF_THREE = _article(
    "hanley1983", "Hanley, J. A.; Lippman-Hand, A.",
    "If nothing goes wrong, is everything all right? Interpreting zero numerators",
    "JAMA", 249, "1743-1745", 1983, "10.1001/jama.1983.03330370053031",
)  # fmt: skip
HOLM = _article(
    "holm1979", "Holm, S.", "A simple sequentially rejective multiple test procedure",
    "Scand. J. Statist.", 6, "65-70", 1979,
)  # fmt: skip
EQUIVALENCE = _article(
    "schuirmann1987", "Schuirmann, D. J.",
    "A comparison of the two one-sided tests procedure and the power approach for assessing the "
    "equivalence of average bioavailability",
    "J. Pharmacokinet. Biopharm.", 15, "657-680", 1987, "10.1007/BF01068419",
)  # fmt: skip
PBE = _article(
    "perdew1996", "Perdew, J. P.; Burke, K.; Ernzerhof, M.",
    "Generalized gradient approximation made simple",
    "Phys. Rev. Lett.", 77, "3865-3868", 1996, "10.1103/PhysRevLett.77.3865",
)  # fmt: skip
STILLINGER_WEBER = _article(
    "stillinger1985", "Stillinger, F. H.; Weber, T. A.",
    "Computer simulation of local order in condensed phases of silicon",
    "Phys. Rev. B", 31, "5262-5271", 1985, "10.1103/PhysRevB.31.5262",
)  # fmt: skip
LENNARD_JONES_ARGON = _article(
    "rahman1964", "Rahman, A.", "Correlations in the motion of atoms in liquid argon",
    "Phys. Rev.", 136, "A405-A411", 1964, "10.1103/PhysRev.136.A405",
)  # fmt: skip
MORSE_COPPER = _article(
    "girifalco1959", "Girifalco, L. A.; Weizer, V. G.",
    "Application of the Morse potential function to cubic metals",
    "Phys. Rev.", 114, "687-690", 1959, "10.1103/PhysRev.114.687",
)  # fmt: skip
EMT = _article(
    "jacobsen1996", "Jacobsen, K. W.; Stoltze, P.; Nørskov, J. K.",
    "A semi-empirical effective medium theory for metals and alloys",
    "Surf. Sci.", 366, "394-402", 1996, "10.1016/0039-6028(96)00816-3",
)  # fmt: skip
TERSOFF_SILICON = _article(
    "tersoff1988", "Tersoff, J.",
    "Empirical interatomic potential for silicon with improved elastic properties",
    "Phys. Rev. B", 38, "9902-9905", 1988, "10.1103/PhysRevB.38.9902",
)  # fmt: skip

ASE = _article(
    "larsen2017",
    "Larsen, A. H.; Mortensen, J. J.; Blomqvist, J.; Castelli, I. E.; Christensen, R.; Dułak, M.; Friis, J.; "
    "Groves, M. N.; Hammer, B.; Hargus, C.; Hermes, E. D.; Jennings, P. C.; Jensen, P. B.; Kermode, J.; "
    "Kitchin, J. R.; Kolsbjerg, E. L.; Kubal, J.; Kaasbjerg, K.; Lysgaard, S.; Maronsson, J. B.; Maxson, T.; "
    "Olsen, T.; Pastewka, L.; Peterson, A.; Rostgaard, C.; Schiøtz, J.; Schütt, O.; Strange, M.; "
    "Thygesen, K. S.; Vegge, T.; Vilhelmsen, L.; Walter, M.; Zeng, Z.; Jacobsen, K. W.",
    "The atomic simulation environment: a Python library for working with atoms",
    "J. Phys.: Condens. Matter", 29, "273002", 2017, "10.1088/1361-648X/aa680e",
)  # fmt: skip
NUMPY = _article(
    "harris2020",
    "Harris, C. R.; Millman, K. J.; van der Walt, S. J.; Gommers, R.; Virtanen, P.; others",
    "Array programming with NumPy", "Nature", 585, "357-362", 2020, "10.1038/s41586-020-2649-2",
)  # fmt: skip
SCIPY = _article(
    "virtanen2020",
    "Virtanen, P.; Gommers, R.; Oliphant, T. E.; Haberland, M.; Reddy, T.; others",
    "SciPy 1.0: fundamental algorithms for scientific computing in Python",
    "Nat. Methods", 17, "261-272", 2020, "10.1038/s41592-019-0686-2",
)  # fmt: skip
VESIN = Citation(
    key="vesin",
    kind="software",
    title="vesin: fast neighbor lists for atomistic systems",
    note="software without a publication of its own; https://github.com/Luthaf/vesin",
)
