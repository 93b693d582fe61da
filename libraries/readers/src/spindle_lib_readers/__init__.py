"""What image formats share: readers of files with one image or a stack, electron diffraction, writing CBF, small files for tests.

Import from the modules: `single`, `stack`, `electrons`, `cbf_writing`, `byte_offset`, `testing`.
"""
