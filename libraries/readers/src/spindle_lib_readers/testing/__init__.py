"""Small image files of single formats, for tests of formats and of programs that read images.

Import from the modules: `mini_cbf`, `cbf`, `nexus`, `electrons`, `images`, `spot_images`.
"""
