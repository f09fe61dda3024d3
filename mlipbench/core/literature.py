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
STOCHASTIC_CELL_RESCALING = _article(
    "bernetti2020", "Bernetti, M.; Bussi, G.", "Pressure control using stochastic cell rescaling",
    _JCP, 153, "114107", 2020, "10.1063/5.0020514",
)  # fmt: skip
ANISOTROPIC_CELL_RESCALING = _article(
    "deltatto2022", "Del Tatto, V.; Raiteri, P.; Bernetti, M.; Bussi, G.",
    "Molecular dynamics of solids at constant pressure and stress using anisotropic stochastic cell "
    "rescaling",
    "Appl. Sci.", 12, "1139", 2022, "10.3390/app12031139",
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
COMPUTATIONAL_NOISE = _article(
    "more2011", "Moré, J. J.; Wild, S. M.", "Estimating computational noise",
    "SIAM J. Sci. Comput.", 33, "1292-1314", 2011, "10.1137/100786125",
)  # fmt: skip
SHIFTED_FORCES = _article(
    "toxvaerd2011", "Toxvaerd, S.; Dyre, J. C.", "Communication: Shifted forces in molecular dynamics",
    _JCP, 134, "081102", 2011, "10.1063/1.3558787",
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
FINITE_DISPLACEMENTS = _article(
    "parlinski1997", "Parlinski, K.; Li, Z. Q.; Kawazoe, Y.",
    "First-principles determination of the soft mode in cubic ZrO2",
    "Phys. Rev. Lett.", 78, "4063-4066", 1997, "10.1103/PhysRevLett.78.4063",
)  # fmt: skip
PHONOPY = _article(
    "togo2023", "Togo, A.", "First-principles phonon calculations with Phonopy and Phono3py",
    "J. Phys. Soc. Jpn.", 92, "012001", 2023, "10.7566/JPSJ.92.012001",
)  # fmt: skip
SPGLIB = _article(
    "togo2024", "Togo, A.; Shinohara, K.; Tanaka, I.",
    "Spglib: a software library for crystal symmetry search",
    "Sci. Technol. Adv. Mater.: Methods", 4, "2384822", 2024, "10.1080/27660400.2024.2384822",
)  # fmt: skip
NAC = _article(
    "gonze1997", "Gonze, X.; Lee, C.",
    "Dynamical matrices, Born effective charges, dielectric permittivity tensors, and interatomic force "
    "constants from density-functional perturbation theory",
    "Phys. Rev. B", 55, "10355-10368", 1997, "10.1103/PhysRevB.55.10355",
)  # fmt: skip
EQUATION_OF_STATE = _article(
    "birch1947", "Birch, F.", "Finite elastic strain of cubic crystals",
    "Phys. Rev.", 71, "809-824", 1947, "10.1103/PhysRev.71.809",
)  # fmt: skip
POLYCRYSTAL = _article(
    "hill1952", "Hill, R.", "The elastic behaviour of a crystalline aggregate",
    "Proc. Phys. Soc. A", 65, "349-354", 1952, "10.1088/0370-1298/65/5/307",
)  # fmt: skip
BORN_STABILITY = _article(
    "mouhat2014", "Mouhat, F.; Coudert, F.-X.",
    "Necessary and sufficient elastic stability conditions in various crystal systems",
    "Phys. Rev. B", 90, "224104", 2014, "10.1103/PhysRevB.90.224104",
)  # fmt: skip
MDANALYSIS = _article(
    "michaudagrawal2011", "Michaud-Agrawal, N.; Denning, E. J.; Woolf, T. B.; Beckstein, O.",
    "MDAnalysis: a toolkit for the analysis of molecular dynamics simulations",
    "J. Comput. Chem.", 32, "2319-2327", 2011, "10.1002/jcc.21787",
)  # fmt: skip
TWO_PHASE = _article(
    "lin2003", "Lin, S.-T.; Blanco, M.; Goddard, W. A.",
    "The two-phase model for calculating thermodynamic properties of liquids from molecular dynamics: "
    "Validation for the phase diagram of Lennard-Jones fluids",
    _JCP, 119, "11792-11805", 2003, "10.1063/1.1624057",
)  # fmt: skip
WASSERSTEIN = _article(
    "vallender1974", "Vallender, S. S.",
    "Calculation of the Wasserstein distance between probability distributions on the line",
    "Theory Probab. Appl.", 18, "784-786", 1974, "10.1137/1118101",
)  # fmt: skip
EINSTEIN = _article(
    "einstein1905", "Einstein, A.",
    "Über die von der molekularkinetischen Theorie der Wärme geforderte Bewegung von in ruhenden "
    "Flüssigkeiten suspendierten Teilchen",
    "Ann. Phys.", 322, "549-560", 1905, "10.1002/andp.19053220806",
)  # fmt: skip
FINITE_SIZE = _article(
    "yeh2004", "Yeh, I.-C.; Hummer, G.",
    "System-size dependence of diffusion coefficients and viscosities from molecular dynamics simulations "
    "with periodic boundary conditions",
    "J. Phys. Chem. B", 108, "15873-15879", 2004, "10.1021/jp0477147",
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


# ---------------------------------------------------------------- networks and their training
def _preprint(key: str, authors: str, title: str, year: int, arxiv: str, journal: str = "arXiv") -> Citation:
    """A work found by its preprint: of a conference without volumes, or of none."""
    return Citation(
        key=key,
        authors=tuple(authors.split("; ")),
        title=title,
        journal=journal,
        year=year,
        doi=f"10.48550/arXiv.{arxiv}",
    )


_NEURIPS = "Advances in Neural Information Processing Systems"
_ICLR = "International Conference on Learning Representations"

MACE = _article(
    "batatia2022", "Batatia, I.; Kovács, D. P.; Simm, G. N. C.; Ortner, C.; Csányi, G.",
    "MACE: Higher order equivariant message passing neural networks for fast and accurate force fields",
    _NEURIPS, 35, "11423-11436", 2022, "10.48550/arXiv.2206.07697",
)  # fmt: skip
ACE = _article(
    "drautz2019", "Drautz, R.",
    "Atomic cluster expansion for accurate and transferable interatomic potentials",
    "Phys. Rev. B", 99, "014104", 2019, "10.1103/PhysRevB.99.014104",
)  # fmt: skip
BESSEL_BASIS = _preprint(
    "gasteiger2020", "Gasteiger, J.; Groß, J.; Günnemann, S.",
    "Directional message passing for molecular graphs", 2020, "2003.03123", _ICLR,
)  # fmt: skip
E3NN = _preprint("geiger2022", "Geiger, M.; Smidt, T.", "e3nn: Euclidean neural networks", 2022, "2207.09453")
PYTORCH = _article(
    "paszke2019", "Paszke, A.; Gross, S.; Massa, F.; Lerer, A.; Bradbury, J.; others",
    "PyTorch: An imperative style, high-performance deep learning library",
    _NEURIPS, 32, "8024-8035", 2019, "10.48550/arXiv.1912.01703",
)  # fmt: skip
REPULSION = Citation(
    key="ziegler1985",
    authors=("Ziegler, J. F.", "Biersack, J. P.", "Littmark, U."),
    kind="book",
    title="The stopping and range of ions in solids",
    year=1985,
    note="Pergamon, New York",
)
ADAMW = _preprint(
    "loshchilov2019", "Loshchilov, I.; Hutter, F.", "Decoupled weight decay regularization",
    2019, "1711.05101", _ICLR,
)  # fmt: skip
AMSGRAD = _preprint(
    "reddi2018", "Reddi, S. J.; Kale, S.; Kumar, S.", "On the convergence of Adam and beyond",
    2018, "1904.09237", _ICLR,
)  # fmt: skip
COSINE = _preprint(
    "loshchilov2017", "Loshchilov, I.; Hutter, F.", "SGDR: Stochastic gradient descent with warm restarts",
    2017, "1608.03983", _ICLR,
)  # fmt: skip
CLIPPING = _preprint(
    "pascanu2013", "Pascanu, R.; Mikolov, T.; Bengio, Y.",
    "On the difficulty of training recurrent neural networks",
    2013, "1211.5063", "International Conference on Machine Learning",
)  # fmt: skip
AVERAGING = _article(
    "polyak1992", "Polyak, B. T.; Juditsky, A. B.",
    "Acceleration of stochastic approximation by averaging",
    "SIAM J. Control Optim.", 30, "838-855", 1992, "10.1137/0330046",
)  # fmt: skip
HUBER = _article(
    "huber1964", "Huber, P. J.", "Robust estimation of a location parameter",
    "Ann. Math. Statist.", 35, "73-101", 1964, "10.1214/aoms/1177703732",
)  # fmt: skip
COMMITTEE = _article(
    "schran2020", "Schran, C.; Brezina, K.; Marsalek, O.",
    "Committee neural network potentials control generalization errors and enable active learning",
    _JCP, 153, "104105", 2020, "10.1063/5.0016004",
)  # fmt: skip
SMOOTH_POTENTIALS = _preprint(
    "fu2025",
    "Fu, X.; Wood, B. M.; Barroso-Luque, L.; Levine, D. S.; Gao, M.; Dzamba, M.; Zitnick, C. L.",
    "Learning smooth and expressive interatomic potentials for physical property prediction",
    2025, "2502.12147",
)  # fmt: skip
DIRECT_FORCES = _preprint(
    "bigi2024", "Bigi, F.; Langer, M.; Ceriotti, M.",
    "The dark side of the forces: assessing non-conservative force models for atomistic machine learning",
    2024, "2412.11569",
)  # fmt: skip
