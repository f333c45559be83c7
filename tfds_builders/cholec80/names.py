"""Phases and tools of the Cholec80 family, in the order of Cholec80.

Path:    [names] -> cholec80, cholectrack20
Axes:    none.
Units:   none.
Errors:  none.
Source:  Twinanda et al. 2017, arXiv:1602.03012.
"""

PHASES = {  # as the annotation files spell them: ours
    "Preparation": "preparation",
    "CalotTriangleDissection": "calot triangle dissection",
    "ClippingCutting": "clipping and cutting",
    "GallbladderDissection": "gallbladder dissection",
    "GallbladderPackaging": "gallbladder packaging",
    "CleaningCoagulation": "cleaning and coagulation",
    "GallbladderRetraction": "gallbladder retraction",
}
TOOLS = {
    "Grasper": "grasper",
    "Bipolar": "bipolar",
    "Hook": "hook",
    "Scissors": "scissors",
    "Clipper": "clipper",
    "Irrigator": "irrigator",
    "SpecimenBag": "specimen bag",
}
