raise AssertionError("never imported: the version does not fit")
