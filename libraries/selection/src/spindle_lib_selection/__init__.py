"""Some of many experiments, with their reflections, for the programs that combine, split and cut.

Import from the modules: `parts`, `significance`.
"""
