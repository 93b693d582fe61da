"""The spot-finding server, as a process of its own, and its client."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

import spindle
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf
from spindle_lib_spots.image_quality import analyse_images

N_IMAGES = 4


def expected(path: Path, number: int | None = None, **params) -> dict:
    """What `spindle find_spots` and the analysis of its spots say of one image."""
    if number is not None:
        params["spotfinder.scan_range"] = [(number, number)]
    result = spindle.run("find_spots", files=[path], **params)
    ((_, analysis),) = analyse_images(result.experiments, result.reflections)
    return analysis.of_image((number or 1) - 1)


def same(answer: dict, truth: dict) -> bool:
    return {k: answer[k] for k in truth} == truth


# -- answers


def test_answers_are_those_of_find_spots(server):
    for i in range(N_IMAGES):
        path = server.folder / f"x_{i + 1:04d}.cbf"
        truth = expected(path)
        assert truth["n_spots_total"] > 30
        answer = server.get(str(path))
        assert answer["image"] == str(path)
        assert same(answer, truth)
        assert set(answer["timings"]) == {"find_spots", "analysis", "total"}


def test_all_ways_to_ask_agree(server):
    path = server.folder / "x_0001.cbf"
    truth = expected(path, **{"min_spot_size": 5, "spotfinder.filter.d_min": 2.0, "threshold.algorithm": "dispersion"})
    assert truth["n_spots_total"] != expected(path)["n_spots_total"]
    words = ["min_spot_size=5", "d_min=2", "threshold.algorithm=dispersion"]
    answers = [
        server.get(f"{path};{';'.join(words)}"),
        server.get(f"{path}?{'&'.join(words)}"),
        server.get(f"{path};{words[0]}?{'&'.join(words[1:])}"),
        server.get(f"/find_spots?image={path}&{'&'.join(words)}"),
        server.post({"image": str(path), "parameters": {
            "min_spot_size": 5, "spotfinder": {"filter": {"d_min": 2.0}}, "threshold.algorithm": "dispersion"}}),
        server.get(f"{server.folder}/x_%23%23%23%23.cbf:1;{';'.join(words)}"),
    ]  # fmt: skip
    assert all(same(a, truth) for a in answers)


def test_an_image_of_a_series_is_chosen_by_its_number(server):
    path = server.folder / "series.nxs"
    for _ in range(2):  # the second time the file is open already
        for number in (3, 1, 2):
            truth = expected(path, number)
            assert truth["n_spots_total"] > 30
            assert same(server.get(f"{path}:{number}"), truth)
            assert same(server.get(f"{path}%23{number}"), truth)
    assert "holds 3 images; say which one" in server.get(str(path), 400)["error"]
    assert "no such image; the file has 1 to 3" in server.get(f"{path}:4", 404)["error"]
    assert "no such image" in server.get(f"{server.folder}/x_0001.cbf:2", 404)["error"]


def test_xml_has_the_elements_that_clients_know(server):
    path = server.folder / "x_0001.cbf"
    truth = expected(path)
    for address, accept in ((f"{path}?format=xml", ""), (f"{path};format=xml", ""), (path, "text/xml")):
        status, headers, text = server.ask("GET", str(address), accept=accept or "*/*")
        assert (status, headers["content-type"]) == (200, "application/xml")
        found = {e.tag: e.text for e in ElementTree.fromstring(text)}
        assert found == {
            "image": str(path),
            "spot_count": str(truth["n_spots_total"]),
            "spot_count_no_ice": str(truth["n_spots_no_ice"]),
            "d_min": f"{truth['estimated_d_min']:.2f}",
            "d_min_method_1": f"{truth['d_min_distl_method_1']:.2f}",
            "d_min_method_2": f"{truth['d_min_distl_method_2']:.2f}",
            "total_intensity": f"{truth['total_intensity']:.0f}",
        }
    status, _, text = server.ask("GET", f"{server.folder}/gone%3C%26%01.cbf?format=xml")
    assert status == 404
    assert "gone<&?.cbf" in ElementTree.fromstring(text).findtext("error")


def test_warnings_are_in_the_answer(server):
    warnings = server.get(f"{server.folder}/x_0001.cbf;threshold.dispersion.sigma_strong=0")["warnings"]
    assert any(re.match(r"[\d.]+ % of the pixels of \S+ are strong", w) for w in warnings)


def test_names_with_blanks_and_accents(server):
    assert server.post({"image": f"{server.folder}/ünï .cbf"})["n_spots_total"] > 30
    assert server.get(f"{server.folder}/%C3%BCn%C3%AF%20.cbf")["n_spots_total"] > 30
    assert server.get(f"{server.folder}/inside.cbf")["n_spots_total"] > 30


def test_spots_that_are_no_lattice_are_said_not_to_be_indexed(server):
    answer = server.get(f"{server.folder}/x_0001.cbf;index=True;indexing.method=fft1d")
    assert answer["n_indexed"] == 0 or answer["fraction_indexed"] < 1
    assert ("indexing_error" in answer) == (not answer["lattices"])


def test_state_and_plugins_are_told(server):
    health = server.get("/health")
    assert (health["status"], health["workers"], health["queue"], health["waiting"]) == ("ok", 1, 16, 0)
    assert health["allow"] == [str(server.folder.resolve())]
    assert "dispersion" in server.get("/plugins")["threshold"]
    assert "cbf" in server.get("/plugins")["format"]
    assert "POST /stop" in server.get("/")["requests"]


# -- life


def worker_of(server) -> int:
    (pid,) = server.get("/health")["worker_processes"]
    return pid


def test_a_killed_worker_is_replaced_and_its_image_done_again(server):
    lost = server.get("/health")["workers_lost"]
    first = worker_of(server)
    os.kill(first, signal.SIGKILL)
    assert server.get(f"{server.folder}/x_0001.cbf")["n_spots_total"] > 30
    second = worker_of(server)
    assert second != first
    os.kill(second, signal.SIGSTOP)  # it gets a question that it cannot answer any more
    answers = []
    asking = threading.Thread(target=lambda: answers.append(server.get(f"{server.folder}/x_0002.cbf")))
    asking.start()
    while not server.get("/health")["workers_busy"]:
        time.sleep(0.01)
    os.kill(second, signal.SIGKILL)
    asking.join()
    assert answers[0]["n_spots_total"] > 30
    assert server.get("/health")["workers_lost"] == lost + 2


def test_a_hanging_worker_is_replaced_and_a_full_queue_refuses(tmp_path, start_server, spotty):
    image = write_mini_cbf(tmp_path / "x_0001.cbf", spotty(0), mini_cbf_header())
    server = start_server(tmp_path, "nproc=1", "timeout=3", "queue=4")
    assert server.get(str(image))["n_spots_total"] > 30
    os.kill(worker_of(server), signal.SIGSTOP)
    answers = []
    asking = [threading.Thread(target=lambda: answers.append(server.ask("GET", str(image)))) for _ in range(8)]
    asking[0].start()
    while not server.get("/health")["workers_busy"]:
        time.sleep(0.01)
    for thread in asking[1:]:
        thread.start()
    for thread in asking:
        thread.join()
    by_status = {status: [a for a in answers if a[0] == status] for status in {a[0] for a in answers}}
    # Four wait and three are refused, unless this machine is so slow that one asks after the worker was replaced.
    assert len(by_status[504]) == 1 and len(by_status[200]) >= 4 and len(by_status[200]) + len(by_status[503]) == 7
    assert "timeout=3" in json.loads(by_status[504][0][2])["error"]
    assert by_status[503][0][1]["Retry-After"] == "1"
    assert "queue=4" in json.loads(by_status[503][0][2])["error"]
    assert server.end() == 0


def test_many_clients_get_the_same_answers(server):
    truth = [server.get(f"{server.folder}/x_{i + 1:04d}.cbf")["n_spots_total"] for i in range(N_IMAGES)]
    wrong: list[object] = []

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for i in range(first, first + 10):
            connection.request("GET", f"{server.folder}/x_{i % N_IMAGES + 1:04d}.cbf")
            response = connection.getresponse()
            content = json.loads(response.read())
            if response.status != 200 or content["n_spots_total"] != truth[i % N_IMAGES]:
                wrong.append(content)
        connection.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_stopped_server_answers_what_it_was_asked(tmp_path, start_server, spotty):
    image = write_mini_cbf(tmp_path / "x_0001.cbf", spotty(0), mini_cbf_header())
    server = start_server(tmp_path, "nproc=1")
    answers: list[dict] = []
    asking = [threading.Thread(target=lambda: answers.append(server.get(str(image)))) for _ in range(4)]
    for thread in asking:  # the worker is not even ready yet
        thread.start()
    while server.get("/health")["waiting"] < 4:
        time.sleep(0.01)
    busy = subprocess.run(
        [sys.executable, "-m", "spindle.cli.main", "find_spots_server", f"port={server.port}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert busy.returncode == 2
    assert f"cannot listen on port={server.port} of host=127.0.0.1: Address already in use. Next:" in busy.stderr
    server.is_interrupted = True
    server.process.send_signal(signal.SIGINT)
    for thread in asking:
        thread.join()
    assert [a["n_spots_total"] > 30 for a in answers] == 4 * [True]
    assert server.end() == 130


def test_a_plugin_in_a_file_works_in_the_workers_too(tmp_path, start_server):
    folder = tmp_path / "data"
    folder.mkdir()
    pixels = np.ones((80, 90), np.int32)
    pixels[20:23, 30:33] = pixels[50:53, 60:63] = 1000
    write_mini_cbf(folder / "x_0001.cbf", pixels)
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from spindle.contracts import Algorithm, hookimpl\n\n"
        "class HighThreshold(Algorithm):\n    @hookimpl\n    def find_strong(self, image, mask):\n"
        "        return (image > 500) & mask\n"
    )
    running = start_server(folder, "nproc=1", "--plugin", f"{mine}:HighThreshold")
    answer = running.post({"image": str(folder / "x_0001.cbf"), "parameters": {"threshold.algorithm": "high"}})
    assert answer["n_spots_total"] == 2
    assert running.end() == 0, "".join(running.lines)


def test_a_worker_that_is_lost_at_its_start_costs_no_request(tmp_path, start_server, spotty):
    (tmp_path / "data").mkdir()
    write_mini_cbf(tmp_path / "data" / "x_0001.cbf", spotty(1), mini_cbf_header())
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(
        "import os, sys\n"
        f"if sys.orig_argv[-1].endswith('.worker') and not os.path.exists({str(tmp_path / 'lost')!r}):\n"
        f"    open({str(tmp_path / 'lost')!r}, 'w').close()\n"
        "    os._exit(3)\n"
    )
    path = os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    server = start_server(tmp_path / "data", "nproc=1", environment={**os.environ, "PYTHONPATH": path})
    answer = server.get(f"{tmp_path}/data/x_0001.cbf")
    assert answer["n_spots_total"] > 0 and (tmp_path / "lost").exists()
    assert server.get("/health")["workers_lost"] == 1
    assert server.end() == 0
