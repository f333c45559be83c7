"""What can be called by name in a generated scene.

Path:    jaws, anatomy -> [names] -> data sets, text
Axes:    none.
Units:   none.
Differs: accessories (gauze, needle, clip) count as instruments, as SA-SV counts what is brought in.
"""

from surgjax.synthetic.anatomy import ORGANS
from surgjax.synthetic.jaws import KINDS, NAMES
from surgjax.synthetic.props import KINDS as PROPS

# {name: True for things brought into the body, False for tissue}
CATEGORIES: dict[str, bool] = {
    **{NAMES.get(kind, kind): True for kind in KINDS},
    **{name: True for name in PROPS},
    **{name: False for name in (*ORGANS, "duct", "artery")},
}
