from __future__ import annotations

import json

import pytest


def test_a_run_prints_changes_results_files_and_the_next_step(spindle, tmp_path):
    done = spindle("trial", "n=4")
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "The following parameters have been modified:\n\n  n = 4",
        "| 3 |     9 |",
        "Wrote squares.txt",
        "Wrote spindle.trial.log",
        "Next: spindle trial n=4",
    ):
        assert part in done.stdout
    assert (tmp_path / "squares.txt").read_text() == "0 1 4 9"
    header, log = (tmp_path / "spindle.trial.log").read_text().split("\n", 1)
    assert header.startswith("# spindle 0.1.0, trial, 2")
    assert log == done.stdout


def test_defaults_are_not_printed(spindle):
    assert "modified" not in spindle("trial").stdout


def test_dashes_are_underscores(spindle):
    assert spindle("trial-chain").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trail"], "there is no program 'trail'. Did you mean trial"),
        (["trial", "n=0"], "n=0 (command line): must be at least 1"),
        (["trial", "squares.txt"], "'squares.txt' is neither an existing file nor name=value"),
        (["trial", "*.cbf"], "no file matches '*.cbf'"),
        (["trial", "=3"], "no parameter name before '='"),
        (["trial", "--fast"], "unknown option --fast"),
        (["trial", "output.text=a/b/c.txt"], "the folder a/b does not exist. Next: mkdir -p a/b"),
        (["trial", "output.text=."], "give a file name"),
        (["trial", "fail=user"], "the crystal is a stone"),
        (["trial", "fail=item"], "cannot square this (while working on item 2: 2)"),
        (["trial", "squares.algorithm=none"], "squares.algorithm=none (command line): there is no trial_slot 'none'"),
        (["--fast"], "--fast is not an option"),
        (["plugins", "--fast"], "unknown option --fast"),
        (["help", "triel"], "Did you mean trial"),
        (["replay", "gone.json"], "gone.json: no such file"),
    ],
)
def test_user_errors_are_one_message_and_exit_code_2(spindle, words, message):
    done = spindle(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_bugs_have_a_traceback_and_ask_for_a_report(spindle_process, tmp_path):
    done = spindle_process("trial", "fail=bug")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()[:2]
    assert first == "error: RuntimeError: something impossible"
    assert second.startswith("  raised in program 'trial' of trial 0.1, hook run, ")
    assert "trial_plugins.py:" in second
    assert "pluggy" not in done.stderr
    assert "This is a bug in the program 'trial' of trial 0.1, not a mistake of yours" in done.stderr
    assert "Please report it" in done.stderr
    assert "spindle trial fail=bug" in done.stderr
    assert "stopped by RuntimeError" in (tmp_path / "spindle.trial.log").read_text()


def test_a_slot_without_plugins_has_help(spindle):
    done = spindle("help", "observer", plugins=())
    assert done.returncode == 0
    assert "hook step_finished(" in done.stdout
    assert "installed:\n  none" in done.stdout


def test_what_a_check_finds_is_said_with_names(spindle):
    plugins = ("broken_plugins/cannot_be_made", "broken_plugins/misnamed", "broken_plugins/breaks_contract")
    for name, part in (
        ("init_raises", "FileNotFoundError"),
        ("ends_process", "licence expired"),
        ("my-model", "such as my_model"),
        ("backgrounds.fine", "did you mean background?"),
        ("background_nan", "background is nan"),
    ):
        done = spindle("plugins", "--check", name, plugins=plugins)
        assert done.returncode == 2
        assert part in done.stderr
        assert "outside-" in done.stderr
    done = spindle("My-Prog", plugins=plugins)
    assert done.returncode == 2
    assert "such as my_prog" in done.stderr


def test_an_interrupt_ends_quietly_with_130(spindle_process):
    done = spindle_process("trial", "fail=interrupt")
    assert done.returncode == 130
    assert done.stderr == "interrupted\n"


def test_a_failed_run_leaves_no_outputs(spindle, tmp_path):
    spindle("trial", "fail=item")
    assert not (tmp_path / "squares.txt").exists()
    assert not (tmp_path / "spindle.trial.json").exists()


def test_help_shows_levels(spindle):
    level0, level1, level2 = (spindle("trial", flag).stdout for flag in ("-h", "-hh", "-hhh"))
    assert "Squares the numbers below n." in level0
    assert "How many numbers." in level0
    assert "seed" not in level0
    assert "seed" in level1
    assert "detail" not in level1
    assert "detail = False" in level2
    assert ("More parameters" in level1, "More parameters" in level2) == (True, False)
    assert "one of: fancy, plain" in level0


def test_help_shows_the_parameters_of_the_chosen_algorithm(spindle):
    assert "tuning_constant" not in spindle("trial", "-hh").stdout
    assert "tuning_constant = 1.345" in spindle("trial", "squares=fancy", "-hh").stdout


def test_help_on_one_plugin(spindle):
    for name in ("trial_slot.fancy", "fancy"):
        text = spindle("help", name).stdout
        assert "Has parameters in scopes." in text
        assert "[fancy.robust]" in text
        assert "trial 0.1" in text


def test_help_on_a_slot_shows_its_hooks(spindle):
    text = spindle("help", "executor").stdout
    assert "hook map_ordered" in text
    assert "threads" in text


def test_help_on_a_slot_shows_what_hooks_take_and_return(spindle):
    text = spindle("help", "background").stdout
    assert "BackgroundEstimate (in spindle.contracts.background)" in text
    assert "background : (p,) float32, counts" in text
    assert "usable_pixels (in spindle.contracts.background)" in text


def test_the_effective_tree_can_be_saved_and_read_again(spindle, tmp_path):
    text = spindle("trial", "-c", "squares=fancy", "curvature=2", "n=7").stdout
    (tmp_path / "run.phil").write_text(text)
    assert spindle("trial", "-c", "run.phil").stdout == text


def test_parameter_files_and_the_command_line_are_read_in_order(spindle, tmp_path):
    (tmp_path / "run.toml").write_text("n = 5\n[squares]\nalgorithm = 'fancy'\n")
    assert "  n = 6" in spindle("trial", "run.toml", "n=6").stdout
    assert "  n = 5" in spindle("trial", "n=6", "run.toml").stdout


def test_errors_in_parameter_files_name_the_file(spindle, tmp_path):
    (tmp_path / "run.phil").write_text("squares { offzet = 3 }")
    assert (
        "(run.phil): squares.offzet is not a parameter; did you mean squares.plain.offset"
        in spindle("trial", "run.phil").stderr
    )


def test_files_are_given_as_paths_patterns_and_on_standard_input(spindle, tmp_path):
    for i in range(3):
        (tmp_path / f"a_{i}.cbf").touch()

    def n_files(*words, **options):
        done = spindle("trial", *words, **options)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "spindle.trial.json").read_text())["summary"]["n_files"]

    assert n_files("a_0.cbf", "a_1.cbf") == 2
    assert n_files("a_*.cbf") == 3
    assert n_files("a_#.cbf") == 3
    assert n_files("-", "overwrite=True", stdin="a_0.cbf\na_2.cbf\n") == 2
    assert n_files(".") == 1


def test_words_reach_a_program_that_takes_them_unread(spindle, tmp_path):
    (tmp_path / "here.cbf").touch()
    done = spindle("trial_words", "n=4", "stop", "here.cbf", "gone_##.cbf:1:3", "d_min=2", "-", stdin="a b\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 ['stop', 'here.cbf', 'gone_##.cbf:1:3', 'd_min=2', 'a b'] 0" in done.stdout
    assert "unknown option --fast" in spindle("trial_words", "--fast").stderr


def test_a_similar_file_is_suggested(spindle, tmp_path):
    (tmp_path / "strong.refl").touch()
    assert "similar files are strong.refl" in spindle("trial", "strng.refl").stderr


def test_quiet_runs_print_nothing_but_log_everything(spindle, tmp_path):
    assert spindle("trial", "-q").stdout == ""
    assert "Squares" in (tmp_path / "spindle.trial.log").read_text()


def test_inputs_are_not_replaced_by_the_log(spindle, tmp_path):
    (tmp_path / "notes.txt").write_text("precious")
    assert "is one of the input files" in spindle("trial", "notes.txt", "output.log=notes.txt").stderr
    assert (tmp_path / "notes.txt").read_text() == "precious"


# -- records


def test_the_record_tells_what_was_run(spindle, tmp_path):
    (tmp_path / "image.cbf").write_text("x" * 10)
    spindle("trial", "image.cbf", "n=5", "squares=fancy", "seed=3")
    record = json.loads((tmp_path / "spindle.trial.json").read_text())
    assert record["program"] == "trial"
    assert record["argv"] == ["spindle", "trial", "image.cbf", "n=5", "squares=fancy", "seed=3"]
    assert record["seed"] == 3
    assert record["parameters"]["squares.fancy.robust.tuning_constant"] == 1.345
    assert record["modified"] == {"n": 5, "squares.algorithm": "fancy", "run.seed": 3}
    fancy = {"slot": "trial_slot", "name": "fancy", "distribution": "trial", "version": "0.1"}
    assert any(plugin.items() >= fancy.items() for plugin in record["plugins"])
    assert record["versions"].keys() >= {"python", "spindle", "numpy", "numba"}
    assert record["inputs"][0]["path"] == "image.cbf"
    assert record["inputs"][0]["size"] == 10
    assert [o["path"] for o in record["outputs"]] == ["squares.txt"]


def test_replay_repeats_a_run(spindle, tmp_path):
    (tmp_path / "image.cbf").write_text("x")
    spindle("trial", "image.cbf", "n=5", "squares=fancy", "tuning_constant=2", "seed=3")
    first = json.loads((tmp_path / "spindle.trial.json").read_text())
    (tmp_path / "squares.txt").unlink()
    done = spindle("replay", "spindle.trial.json")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "spindle.trial.json").read_text())
    for key in ("parameters", "summary", "inputs", "outputs", "plugins", "seed"):
        assert again[key] == first[key]


def test_replay_takes_changes(spindle, tmp_path):
    spindle("trial", "n=5")
    spindle("replay", "spindle.trial.json", "n=2")
    assert (tmp_path / "squares.txt").read_text() == "0 1"


def test_replay_refuses_changed_inputs(spindle, tmp_path):
    (tmp_path / "image.cbf").write_text("x")
    spindle("trial", "image.cbf")
    (tmp_path / "image.cbf").write_text("y")
    done = spindle("replay", "spindle.trial.json")
    assert done.returncode == 2
    assert "image.cbf has changed" in done.stderr
    assert spindle("replay", "spindle.trial.json", "--force").returncode == 0


# -- plugins


def test_plugins_are_listed(spindle):
    text = spindle("plugins").stdout
    assert text.splitlines()[0].split() == ["slot", "name", "distribution", "version", "state"]
    assert ["program", "trial", "trial", "0.1", "ok"] in [line.split() for line in text.splitlines()]
    rows = json.loads(spindle("plugins", "--json").stdout)
    assert {"slot": "program", "name": "trial", "distribution": "trial", "version": "0.1", "state": "ok"} in rows
    assert all(list(row) == ["slot", "name", "distribution", "version", "state"] for row in rows)


def test_a_plugin_is_checked_by_name(spindle):
    plugins = ("broken_plugins/import_error", "trial_plugins")
    good = spindle("plugins", "--check", "executor.threads", plugins=plugins)
    assert (good.returncode, good.stdout.startswith("ok:")) == (0, True)
    bad = spindle("plugins", "--check", "import_error", plugins=plugins)
    assert bad.returncode == 2
    assert "broken: executor 'import_error' of outside-import-error 1.2" in bad.stderr
    assert spindle("plugins", "--check", "nobody", plugins=plugins).returncode == 2


def test_a_broken_plugin_nobody_selected_stops_nothing(spindle):
    plugins = ("broken_plugins/import_error", "broken_plugins/duplicate", "trial_plugins")
    assert spindle("trial", plugins=plugins).returncode == 0


def test_a_selected_broken_plugin_stops_the_run_with_its_message(spindle):
    plugins = ("broken_plugins/import_error", "trial_plugins")
    done = spindle("trial", "mp.method=import_error", plugins=plugins)
    assert done.returncode == 2
    for part in (
        "mp.method=import_error",
        "outside-import-error 1.2",
        "a_library_that_nobody_has",
        "spindle plugins --check",
    ):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_strictness_makes_any_failure_fatal(spindle):
    plugins = ("broken_plugins/import_error", "trial_plugins")
    done = spindle("trial", plugins=plugins, SPINDLE_STRICT="1")
    assert done.returncode == 2
    assert "outside-import-error" in done.stderr
    plugins = ("broken_plugins/missing_package", "trial_plugins")
    assert spindle("plugins", plugins=plugins).returncode == 0
    assert spindle("plugins", plugins=plugins, SPINDLE_STRICT="1").returncode == 2


def test_kernels_are_cached_where_asked_and_said_once(spindle_process, tmp_path):
    cache = {"SPINDLE_CACHE_DIR": str(tmp_path / "cache"), "NUMBA_CACHE_DIR": ""}
    assert "compiling kernels, this happens once" in spindle_process("trial", **cache).stderr
    assert spindle_process("trial", **cache).stderr == ""
    assert list((tmp_path / "cache" / "numba").iterdir())
