"""How far unit cells are from each other as lattices, and which belong together.

Import from the modules: `distances`, `clusters`.
"""
