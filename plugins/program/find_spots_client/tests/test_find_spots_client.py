"""The client of the spot-finding server, against small servers of the test's own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from spindle_program_find_spots_client.images import image_names

import spindle
from spindle.cli.main import main
from spindle.errors import UserError

ANSWER = {
    "n_spots_total": 352, "n_spots_no_ice": 263, "n_spots_4A": 9, "estimated_d_min": 1.46, "d_min_distl_method_1": 1.92,
    "d_min_distl_method_2": -1.0, "noisiness_method_1": 0.1, "noisiness_method_2": -1.0, "total_intensity": 56215.0,
}  # fmt: skip


@pytest.fixture
def server():
    """A server like that of DIALS; it is busy once for images called busy, and knows nothing of those called gone."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            image, *words = (unquote(part) for part in self.path.split(";"))
            if image == "/Ctrl-C":
                self.say(200, b"")
            elif "busy" in image and asked.count(self.path) == 1:
                self.say(503, b'{"error": "busy"}', {"Retry-After": "0"})
            elif "gone" in image:
                self.say(500, json.dumps({"image": image, "error": "No such file"}).encode())
            elif "odd" in image:
                self.say(200, b"<html>")
            elif self.headers["Accept"] == "application/xml":
                self.say(200, f"<response>\n<image>{image}</image>\n</response>\n".encode())
            else:
                extra = {
                    "n_indexed": 300,
                    "fraction_indexed": 0.85,
                    "lattices": [{"unit_cell": [78.9, 78.9, 38, 90, 90, 90]}],
                }
                self.say(
                    200, json.dumps({"image": image, **ANSWER, **(extra if "index=True" in words else {})}).encode()
                )

        def say(self, status, body, headers=()):
            self.send_response(status)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        running.asked, running.port = asked, running.server_address[1]
        yield running
        running.shutdown()
        thread.join()


def command(capsys, *words: str) -> tuple[int, str, str]:
    code = main(["find_spots_client", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_line_is_printed_for_each_image(server, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command(
        capsys, f"port={server.port}", "/data/a_##.cbf:1:3", "/data/b.nxs:7", "d_min=2", "index=True", "json=all.json"
    )
    assert (code, err) == (0, "")
    lines = out[out.index("image") :].splitlines()
    assert lines[0].split() == ["image", "spots", "no", "ice", "d_min", "method", "1", "method", "2", "intensity"]
    numbers = "352 263 1.46 1.92 - 56215 indexed 300 (85 %) cell 78.9 78.9 38 90 90 90"
    assert sorted(" ".join(line.split()) for line in lines[1:5]) == [
        f"{name} {numbers}" for name in ("a_01.cbf", "a_02.cbf", "a_03.cbf", "b.nxs:7")
    ]
    assert sorted(server.asked)[0] == "/data/a_01.cbf;d_min=2;index=True"
    answers = json.loads((tmp_path / "all.json").read_text())
    assert [a["image"] for a in answers] == ["/data/a_01.cbf", "/data/a_02.cbf", "/data/a_03.cbf", "/data/b.nxs:7"]
    assert [p.name for p in tmp_path.iterdir()] == ["all.json"]


def test_it_comes_again_when_the_server_is_busy(server):
    result = spindle.run("find_spots_client", files=["/data/busy.cbf"], port=server.port)
    assert result.summary["answers"][0]["n_spots_total"] == 352
    assert server.asked == 2 * ["/data/busy.cbf"]
    with pytest.raises(UserError, match="no image could be analysed; the first: busy"):
        spindle.run("find_spots_client", files=["/data/too_busy.cbf"], port=server.port, patience=0)


def test_what_fails_is_said_and_does_not_stop_the_others(server, capsys):
    code, out, err = command(capsys, f"port={server.port}", "/d/gone.cbf", "/d/odd.cbf", "/d/ok.cbf")
    assert (code, err) == (0, "")
    assert "gone.cbf  error: No such file" in out
    assert "odd.cbf   error: the server answered '<html>'" in out
    assert "Warning: 2 of 3 images could not be analysed" in out
    code, out, err = command(capsys, f"port={server.port}", "/d/gone.cbf")
    assert code == 2
    assert "no image could be analysed; the first: No such file" in err


@pytest.mark.parametrize("style", ["xml", "json"])
def test_answers_are_printed_as_asked(server, capsys, style):
    _, out, _ = command(capsys, f"port={server.port}", f"style={style}", "/data/a b;c.cbf")
    if style == "xml":
        assert "<response>\n<image>/data/a b;c.cbf</image>\n</response>\n" in out
    else:
        assert json.loads(out.splitlines()[-1])["n_spots_total"] == 352
    assert server.asked == ["/data/a%20b%3Bc.cbf"]


def test_stop(server, capsys):
    code, out, _ = command(capsys, f"port={server.port}", "stop")
    assert code == 0
    assert f"Stopped the server at port={server.port} of host=127.0.0.1" in out
    assert server.asked == ["/Ctrl-C"]


def test_no_server_is_one_clear_error(server, capsys):
    server.shutdown()
    server.server_close()
    for word in ("stop", "/data/a.cbf"):
        code, _, err = command(capsys, f"port={server.port}", word)
        assert code == 2
        assert f"no server answers at port={server.port} of host=127.0.0.1 (Connection refused). Next:" in err
    assert "find_spots_client: no images" in command(capsys)[2]


def test_names_of_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x_01.cbf", "x_02.cbf", "odd:5", "t_#.cbf"):
        (tmp_path / name).touch()
    here = str(tmp_path)
    assert image_names(["x_##.cbf"]) == [f"{here}/x_01.cbf", f"{here}/x_02.cbf"]
    assert image_names(["x_*.cbf", "/far/y.cbf"]) == [f"{here}/x_01.cbf", f"{here}/x_02.cbf", "/far/y.cbf"]
    assert image_names(["y_###.cbf:9:11"]) == [f"{here}/y_009.cbf", f"{here}/y_010.cbf", f"{here}/y_011.cbf"]
    assert image_names(["m.h5:3:4", "m.h5:8"]) == [f"{here}/m.h5:3", f"{here}/m.h5:4", f"{here}/m.h5:8"]
    assert image_names(["odd:5", "t_#.cbf"]) == [f"{here}/odd:5", f"{here}/t_#.cbf"]
    for word, reason in (("z_*.cbf", "no file matches"), ("m.h5:4:3", "must not come after")):
        with pytest.raises(UserError, match=reason):
            image_names([word])
