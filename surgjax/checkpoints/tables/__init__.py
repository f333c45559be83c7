"""Key tables, one module per model: name in the published files <-> path in our params.

Path:    Sam2Config -> [tables] -> torch_import, torch_export, orbax
Axes:    see each table.
Units:   none.
Errors:  see each table.
Source:  see each table.
Differs: see each table.
"""
