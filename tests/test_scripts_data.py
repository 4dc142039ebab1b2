"""combine_A_and_B.py makes pairs; download_dataset.py resumes, checks and unpacks safely, from a local server."""

import functools
import hashlib
import http.server
import io
import re
import runpy
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., int]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(script: str, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        return ended.value.code

    return run


def image(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def folders(root: Path) -> list[object]:
    return ["--fold_A", root / "A", "--fold_B", root / "B", "--fold_AB", root / "AB"]


@pytest.mark.parametrize("script", ["scripts/combine_A_and_B.py", "datasets/combine_A_and_B.py"])
def test_combine_puts_a_left_of_b(tmp_path: Path, run_script: Run, script: str, capsys: object) -> None:
    for name in ["train/1.png", "train/2.JPG", "val/1.tif"]:
        image(tmp_path / "A" / name, 10)
        image(tmp_path / "B" / name, 200)
    (tmp_path / "A" / "train" / "notes.txt").touch()
    assert run_script(script, *folders(tmp_path), "--no_multiprocessing") == 0
    made = sorted(path.relative_to(tmp_path / "AB").as_posix() for path in (tmp_path / "AB").rglob("*.*"))
    assert made == ["train/1.png", "train/2.JPG", "val/1.tif"]
    for name in made:
        pixels = np.asarray(Image.open(tmp_path / "AB" / name)).astype(int)
        loss = 3 if name.endswith("JPG") else 0
        assert pixels.shape == (4, 12, 3)
        assert np.abs(pixels - np.repeat([10, 200], 6)[None, :, None]).max() <= loss
    assert "train: 2 of 2 pairs" in capsys.readouterr().out


def test_combine_with_names_that_end_in_a_and_b(tmp_path: Path, run_script: Run) -> None:
    for number in range(3):
        image(tmp_path / "A" / f"{number}_A.png", number)
        image(tmp_path / "B" / f"{number}_B.png", number)
    assert run_script("scripts/combine_A_and_B.py", *folders(tmp_path), "--use_AB", "--num_imgs", 2) == 0
    assert sorted(path.name for path in (tmp_path / "AB").iterdir()) == ["0.png", "1.png"]


def test_combine_refuses_before_it_writes(tmp_path: Path, run_script: Run, capsys: object) -> None:
    script = "scripts/combine_A_and_B.py"
    assert run_script(script, *folders(tmp_path)) == 2
    assert "--fold_A: there is no folder" in capsys.readouterr().err
    for side in "AB":
        (tmp_path / side).mkdir()
    assert run_script(script, *folders(tmp_path)) == 2
    assert "no images" in capsys.readouterr().err
    image(tmp_path / "A" / "1.png", 1)
    image(tmp_path / "A" / "2.png", 1)
    image(tmp_path / "B" / "1.png", 1)
    assert run_script(script, *folders(tmp_path)) == 2
    assert re.search(r"1 of 2 images in .*A have no partner, .*B/2\.png", capsys.readouterr().err)
    assert not (tmp_path / "AB").exists()
    image(tmp_path / "B" / "2.png", 1, size=(5, 4))
    assert run_script(script, *folders(tmp_path)) == 2
    assert re.search(r"A/2\.png has 6x4 pixels and .*B/2\.png 5x4", capsys.readouterr().err)


def test_combine_leaves_nothing_half_written(tmp_path: Path, run_script: Run, capsys: object) -> None:
    for side in "AB":
        image(tmp_path / side / "1.png", 1)
    (tmp_path / "AB" / "1.png").mkdir(parents=True)
    assert run_script("scripts/combine_A_and_B.py", *folders(tmp_path)) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "AB").iterdir()] == ["1.png"]


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files, and parts of them; breaks off after `cut` bytes where that is set."""

    cut: int | None = None
    ranges: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.ranges.append(self.headers.get("Range"))
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        first = int(re.findall(r"\d+", self.headers.get("Range") or "0")[0])
        if first >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : self.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[object]]]:
    """The folder that is served, and the arguments that point the script to it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Ranges, "ranges", [])
    handler = functools.partial(Ranges, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        folder = tmp_path / "www" / "cyclegan" / "datasets"
        folder.mkdir(parents=True)
        yield folder, ["--mirror", f"http://127.0.0.1:{served.server_port}", "--dest", tmp_path / "sets"]
        served.shutdown()


def zipped(path: Path, members: dict[str, str]) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path.read_bytes()


SCRIPT = "scripts/download_dataset.py"
HORSES = {"horse2zebra/trainA/1.jpg": "A" * 500, "horse2zebra/trainB/2.jpg": "B" * 500}


def test_download_resumes_checks_and_unpacks(
    server: tuple[Path, list[object]], tmp_path: Path, run_script: Run, capsys: object
) -> None:
    folder, where = server
    content = zipped(folder / "horse2zebra.zip", HORSES)
    total = hashlib.sha256(content).hexdigest()
    Ranges.cut = 300
    assert run_script(SCRIPT, "horse2zebra", *where) == 1
    assert f"broke off after 300 of {len(content):,} bytes); run this again" in capsys.readouterr().err
    Ranges.cut = None
    assert run_script(SCRIPT, "horse2zebra", *where, "--sha256", "0" * 64) == 1
    assert f"has the SHA-256 sum {total}, not 000" in capsys.readouterr().err
    assert run_script(SCRIPT, "horse2zebra", *where, "--sha256", total) == 0
    assert Ranges.ranges == [None, "bytes=300-"]
    assert (tmp_path / "sets/horse2zebra/trainB/2.jpg").read_text() == "B" * 500
    assert (tmp_path / "sets/horse2zebra.zip.sha256").read_text() == f"{total}  horse2zebra.zip\n"
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == [
        "horse2zebra",
        "horse2zebra.zip.sha256",
    ]
    assert run_script(SCRIPT, "horse2zebra", *where) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_part_that_is_whole_or_too_long(
    server: tuple[Path, list[object]], tmp_path: Path, run_script: Run, capsys: object
) -> None:
    folder, where = server
    content = zipped(folder / "horse2zebra.zip", HORSES)
    part = tmp_path / "sets" / "horse2zebra.zip.part"
    part.parent.mkdir()
    part.write_bytes(content + b"more")
    assert run_script(SCRIPT, "horse2zebra", *where) == 1
    assert "is removed" in capsys.readouterr().err and not part.exists()
    part.write_bytes(content)
    assert run_script(SCRIPT, "horse2zebra", *where) == 0


def test_paired_sets_come_as_tar(
    server: tuple[Path, list[object]], tmp_path: Path, run_script: Run, capsys: object
) -> None:
    folder, where = server
    aligned = folder.parents[1] / "pix2pix" / "datasets"
    aligned.mkdir(parents=True)
    with tarfile.open(aligned / "facades.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("facades/train/1.jpg")
        member.size = 3
        file.addfile(member, io.BytesIO(b"abc"))
    assert run_script(SCRIPT, "facades", *where) == 2
    assert "--kind cyclegan" in capsys.readouterr().err
    assert run_script(SCRIPT, "facades", "--kind", "pix2pix", *where) == 0
    assert (tmp_path / "sets/facades/train/1.jpg").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:evil.txt"]
)
def test_a_zip_that_points_out_of_its_folder_is_refused(
    server: tuple[Path, list[object]], tmp_path: Path, run_script: Run, capsys: object, name: str
) -> None:
    zipped(server[0] / "maps.zip", {"maps/ok.txt": "ok", name: "evil"})
    assert run_script(SCRIPT, "maps", "--kind", "cyclegan", *server[1]) == 2
    assert "points out of its folder" in capsys.readouterr().err
    assert not list(tmp_path.rglob("evil.txt")) and not (tmp_path / "sets" / "maps").exists()
    assert not (tmp_path / "sets" / ".maps.unpacking").exists()


def test_links_and_damage_in_archives_are_refused(tmp_path: Path, run_script: Run, capsys: object) -> None:
    archive = tmp_path / "night2day.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        link = tarfile.TarInfo("night2day/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    assert run_script(SCRIPT, "night2day", "--dest", tmp_path) == 2
    assert "night2day/link, which is no plain file" in capsys.readouterr().err
    archive.write_bytes(archive.read_bytes()[:40])
    assert run_script(SCRIPT, "night2day", "--dest", tmp_path) == 1
    assert "is damaged" in capsys.readouterr().err
    (tmp_path / "ae_photos.zip").write_bytes(b"PK no zip")
    assert run_script(SCRIPT, "ae_photos", "--dest", tmp_path) == 1
    assert "is damaged" in capsys.readouterr().err
    link = zipfile.ZipInfo("ae_photos/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "ae_photos.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert run_script(SCRIPT, "ae_photos", "--dest", tmp_path) == 2
    assert "the link ae_photos/link" in capsys.readouterr().err


def test_no_network_and_unknown_names(
    tmp_path: Path, run_script: Run, capsys: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    nobody = "http://127.0.0.1:9"
    assert run_script(SCRIPT, "horse2zebra", "--mirror", nobody, "--dest", tmp_path / "sets") == 1
    error = capsys.readouterr().err
    assert f"cannot fetch {nobody}/cyclegan/datasets/horse2zebra.zip" in error and "by hand" in error
    assert run_script(SCRIPT, "horse2zbra") == 2
    assert "did you mean horse2zebra" in capsys.readouterr().err
    assert run_script(SCRIPT, "horse2zebra", "--kind", "pix2pix") == 2
    assert "the pix2pix data set horse2zebra is unknown" in capsys.readouterr().err
    assert run_script(SCRIPT, "cityscapes") == 2
    assert "https://www.cityscapes-dataset.com" in capsys.readouterr().err
    assert run_script(SCRIPT, "--list") == 0
    assert "vangogh2photo" in capsys.readouterr().out
