"""Errors that users can mend."""

from __future__ import annotations

import pickle

from spindle.errors import HeaderError, UserError


def test_an_error_of_a_header_says_file_place_expected_found_and_remedy():
    error = HeaderError("a.cbf", "line '# Wavelength'", "the wavelength", None, "set geometry.beam.wavelength=<A>")
    assert str(error) == (
        "a.cbf: line '# Wavelength': expected the wavelength, found none; set geometry.beam.wavelength=<A>"
    )
    assert isinstance(error, UserError)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and again.place == error.place
