"""Sections of reports: what experiments and reflections show, as text, tables and figures.

Each module makes the sections of one matter; `given` sorts what there is, `images` and `bins` put reflections together by image, position
and resolution before anything is drawn, so that figures are small however many reflections there are.
"""
