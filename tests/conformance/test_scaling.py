"""The first-party scaling models pass the contract that strangers' models have to pass."""

from __future__ import annotations

from spindle.testing.scaling import ScalingContract

FEW = {"image_correction=False": "Auto wants more observations of an image than there are"}


class TestPhysical(ScalingContract):
    name = "physical"
    takes_stills = False
    parameters = {"absorption_correction": True}
    corrects = ("scale", "image", "resolution", "direction")
    inert = FEW


class TestPhysicalFixedRestraints(ScalingContract):
    name = "physical"
    takes_stills = False
    corrects = ("scale", "image", "resolution")
    parameters = {"restraint": "fixed", "absorption_correction": True, "lmax": 3}
    inert = {"absorption_level=low": "what fixed restraints take anyway", **FEW}


class TestPhysicalOnAFewImages(ScalingContract):
    name = "physical"
    takes_stills = False
    corrects = ("scale", "resolution")
    n_images = 2
    inert = FEW
    expected_failures = {"test_images_may_be_cut_finer": "two images hold fewer samples than twenty of the same angles"}
    test_switches_and_choices_change_something = None  # TestPhysical tries them, on more images


class TestKB(ScalingContract):
    name = "KB"
    corrects = ("scale", "resolution")


class TestArray(ScalingContract):
    name = "array"
    takes_stills = False
    parameters = {
        "modulation_correction": True, "n_modulation_bins": 3, "n_resolution_bins": 4, "n_absorption_bins": 2,
    }  # fmt: skip


class TestDoseDecay(ScalingContract):
    name = "dose_decay"
    takes_stills = False
    corrects = ("scale", "image", "direction")
    parameters = {"absorption_correction": True}
    inert = {"relative_B_correction": "a single data set has none"}
