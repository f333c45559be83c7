"""The classes of CaDIS, and how its three experiments merge them.

Path:    label values -> [classes] -> builder
Axes:    none.
Units:   none.
Source:  Grammatikopoulou et al., CaDIS, arXiv:1906.11586; the tables agree in two public
         repositories: MECLabTUDA/SDS_Playground and
         RViMLab/MICCAI2021_Cataract_semantic_segmentation.
"""

NAMES = (  # by value in the label images
    "pupil",
    "surgical tape",
    "hand",
    "eye retractors",
    "iris",
    "skin",
    "cornea",
    "hydrodissection cannula",
    "viscoelastic cannula",
    "capsulorhexis cystotome",
    "rycroft cannula",
    "bonn forceps",
    "primary knife",
    "phacoemulsifier handpiece",
    "lens injector",
    "irrigation-aspiration handpiece",
    "secondary knife",
    "micromanipulator",
    "irrigation-aspiration handpiece handle",
    "capsulorhexis forceps",
    "rycroft cannula handle",
    "phacoemulsifier handpiece handle",
    "capsulorhexis cystotome handle",
    "secondary knife handle",
    "lens injector handle",
    "suture needle",
    "needle holder",
    "charleux cannula",
    "primary knife handle",
    "vitrectomy handpiece",
    "mendez ring",
    "marker",
    "hydrodissection cannula handle",
    "troutman forceps",
    "cotton",
    "iris hooks",
)
FIRST_INSTRUMENT = 7  # 0, 4, 5, 6 are anatomy, 1 to 3 others

Groups = tuple[tuple[str, tuple[int, ...]], ...]  # (name, its label values) in class order
_NOT_INSTRUMENTS: Groups = tuple((NAMES[k], (k,)) for k in range(FIRST_INSTRUMENT))

EXPERIMENTS: dict[int, Groups] = {  # values that no group names are ignored
    0: tuple((name, (k,)) for k, name in enumerate(NAMES)),  # the labels as they are
    1: (*_NOT_INSTRUMENTS, ("instrument", tuple(range(7, 36)))),
    2: (
        *_NOT_INSTRUMENTS,
        ("cannula", (7, 8, 10, 20, 27, 32)),
        ("capsulorhexis cystotome", (9, 22)),
        ("tissue forceps", (11, 33)),
        ("primary knife", (12, 28)),
        ("phacoemulsifier handpiece", (13, 21)),
        ("lens injector", (14, 24)),
        ("irrigation-aspiration handpiece", (15, 18)),
        ("secondary knife", (16, 23)),
        ("micromanipulator", (17,)),
        ("capsulorhexis forceps", (19,)),
    ),
    3: tuple((name, (k,)) for k, name in enumerate(NAMES[:25])),
}


def categories(experiment: int) -> dict[str, bool]:
    """{name: is it an instrument} in class order."""
    return {name: values[0] >= FIRST_INSTRUMENT for name, values in EXPERIMENTS[experiment]}


def stored_values(experiment: int, ignore: int) -> dict[int, int]:
    """{value in the label images: value in the record}: class k of the experiment is stored as k+1.

    0 stays free, since CaDIS labels every pixel and 0 is the pupil there.
    """
    table = dict.fromkeys(range(len(NAMES)), ignore)
    for number, (_, values) in enumerate(EXPERIMENTS[experiment], 1):
        table.update(dict.fromkeys(values, number))
    return table
