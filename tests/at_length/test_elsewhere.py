"""The same files, wherever the work is done: one thread, threads, processes, a Dask cluster; also when a worker is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.testing.simulated import simulate_sweep

pytest.importorskip("distributed", reason="the extra dask is not installed")

METHODS = {
    "threads": ["mp.method=threads", "mp.nproc=2"],
    "processes": ["mp.method=processes", "mp.nproc=2"],
    "dask": ["mp.method=dask", "mp.dask.address={cluster}"],
}
SECONDS_TO_END = 3.0
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two workers of this machine, that somebody else began."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Images of two sweeps of one crystal, of two lattices, and of two stills."""
    folder = tmp_path_factory.mktemp("sets")
    turned = {"scan.n_images": (8, 8), "scan.start": (0.0, 60.0)}
    simulate_sweep(folder / "sweeps", **turned)
    simulate_sweep(folder / "lattices", **{"crystal.lattices": 2, "scan.n_images": (10,)})
    for number in (1, 2):
        simulate_sweep(folder / "stills" / str(number), **{
            "scan.n_images": (1,), "output.prefix": f"s{number}", "seed": number, "structure.mean_counts": 2000.0,
        })  # fmt: skip
    for path in (folder / "stills").rglob("*.cbf"):
        path.write_bytes(path.read_bytes().replace(b"# Angle_increment 0.5", b"# Angle_increment 0.0"))
    return {kind: sorted((folder / kind).rglob("*.cbf")) for kind in ("sweeps", "lattices", "stills")}


WORDS = {"sweeps": [], "lattices": ["max_lattices=2"], "stills": ["unit_cell=38,46,57,90,90,90", "space_group=P222"]}
ENDS = {"sweeps": 0, "lattices": 0, "stills": 2}  # stills end after refine


@pytest.fixture(scope="module")
def in_one_thread(sets, tmp_path_factory):
    """Files of each set that one thread makes."""
    made = {}
    for kind, images in sets.items():
        folder = tmp_path_factory.mktemp(kind)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            assert main(["process", *map(str, images), *WORDS[kind], "mp.nproc=1"]) == ENDS[kind]
        made[kind] = files_of(folder)
    return made


def files_of(folder: Path) -> dict[str, bytes]:
    """Content of what a run has written, without its logs and records, which tell when and how long."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix in (".expt", ".refl", ".mtz")}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("kind", "method"),
    [  # each kind and each method is in every other one; what processes make of sweeps the killed ones below tell
        ("sweeps", "threads"), ("sweeps", "dask"), ("lattices", "dask"), ("lattices", "processes"), ("stills", "processes"),
        ("stills", "dask"),
    ],
)  # fmt: skip
def test_the_files_are_the_same(kind, method, sets, in_one_thread, cluster, tmp_path, monkeypatch):
    expected = in_one_thread[kind]
    last = "refined.refl" if kind == "stills" else "merged.mtz"
    assert "strong.refl" in expected and last in expected
    monkeypatch.chdir(tmp_path)
    words = [w.format(cluster=cluster.scheduler_address) for w in METHODS[method]]
    assert main(["process", *map(str, sets[kind]), *WORDS[kind], *words]) == ENDS[kind]
    found = files_of(tmp_path)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def begin(folder: Path, *words: object) -> subprocess.Popen[str]:
    """A run of its own, with its processes in a group of their own."""
    command = [sys.executable, "-P", "-m", "spindle.cli.main", *map(str, words)]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def group_of(number: int) -> set[int]:
    """Processes of a session that have not ended."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (place / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == number and state != "Z":
            found.add(int(place.name))
    return found


def wait_for(folder: Path, name: str) -> None:
    """Return when a run has written a file."""
    end = time.monotonic() + 120
    while not (folder / name).exists():
        assert time.monotonic() < end, f"{name} does not come"
        time.sleep(0.02)


@on_linux
def test_a_process_that_is_killed_loses_nothing(sets, in_one_thread, tmp_path):
    run = begin(tmp_path, "process", *sets["sweeps"], *METHODS["processes"])
    wait_for(tmp_path, "strong.refl")
    workers = group_of(run.pid) - {run.pid}
    assert len(workers) >= 2
    for pid in workers:
        os.kill(pid, 9)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 0, said
    assert files_of(tmp_path) == in_one_thread["sweeps"]
    assert not group_of(run.pid)


@on_linux
@pytest.mark.parametrize("method", ["threads", "processes", "dask"])
def test_an_interrupt_ends_the_run_and_all_its_processes(method, sets, tmp_path):
    run = begin(tmp_path, "process", *sets["sweeps"], f"mp.method={method}", "mp.nproc=2")
    wait_for(tmp_path, "strong.refl")
    interrupt(run)


def interrupt(run: subprocess.Popen[str]) -> None:
    """Interrupt a run, which ends soon then with all its processes, and says so."""
    began = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: workers are told too
    said, _ = run.communicate(timeout=60)
    while group_of(run.pid) and time.monotonic() < began + SECONDS_TO_END:
        time.sleep(0.02)
    seconds = time.monotonic() - began
    assert run.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    assert not group_of(run.pid)
    assert seconds < SECONDS_TO_END


@on_linux
@pytest.mark.parametrize("method", ["processes", "dask"])
def test_an_interrupt_ends_integration_and_its_workers(method, in_one_thread, tmp_path):
    for name in ("refined.expt", "refined.refl"):
        (tmp_path / name).write_bytes(in_one_thread["sweeps"][name])
    run = begin(tmp_path, "integrate", "refined.expt", "refined.refl", f"mp.method={method}", "mp.nproc=2")
    end = time.monotonic() + 120
    while len(group_of(run.pid)) < 3 and run.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert run.poll() is None, run.communicate()[0]
    assert len(group_of(run.pid)) >= 3, "the workers do not come"
    time.sleep(0.3)
    interrupt(run)
