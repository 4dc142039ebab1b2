"""combine_A_and_B.py joins pairs, download_dataset.py continues, checks and unpacks, demo.py ends its children."""

import functools
import hashlib
import http.server
import io
import re
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, names_all
from PIL import Image

COMBINE, DOWNLOAD = "scripts/combine_A_and_B.py", "scripts/download_dataset.py"


@pytest.fixture
def fails(run_script: Callable[..., int], capsys: pytest.CaptureFixture) -> Callable[..., None]:
    """Run a script that must end with this exit code, and with one sentence that names all `words`."""

    def check(code: int, words: list[object], *command: object) -> None:
        assert run_script(*command) == code
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and names_all(error, words), error

    return check


def image(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def folders(root: Path) -> list[object]:
    return ["--fold_A", root / "A", "--fold_B", root / "B", "--fold_AB", root / "AB"]


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_combine_puts_a_to_the_left_of_b(
    tmp_path: Path, run_script: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    for name in ["train/1.png", "train/2.JPG", "val/1.tif"]:
        image(tmp_path / "A" / name, 10)
        image(tmp_path / "B" / name, 200)
    (tmp_path / "A" / "train" / "notes.txt").touch()
    assert run_script(COMBINE, *folders(tmp_path), "--no_multiprocessing") == 0
    assert files_in(tmp_path / "AB") == ["train/1.png", "train/2.JPG", "val/1.tif"]
    for name in files_in(tmp_path / "AB"):
        pixels = np.asarray(Image.open(tmp_path / "AB" / name)).astype(int)
        assert pixels.shape == (4, 12, 3)
        loss = 3 if name.endswith("JPG") else 0
        assert np.abs(pixels - np.repeat([10, 200], 6)[None, :, None]).max() <= loss
    assert "train: 2 of 2 pairs" in capsys.readouterr().out


def test_the_script_of_the_datasets_folder_joins_names_that_end_in_a_and_b(tmp_path: Path) -> None:
    for number in range(3):
        image(tmp_path / "A" / f"{number}_A.png", number)
        image(tmp_path / "B" / f"{number}_B.png", number)
    words = [*map(str, folders(tmp_path)), "--use_AB", "--num_imgs", "2"]
    subprocess.run([sys.executable, ROOT / "datasets/combine_A_and_B.py", *words], check=True)
    assert files_in(tmp_path / "AB") == ["0.png", "1.png"]


def test_combine_refuses_before_it_writes(tmp_path: Path, fails: Callable[..., None]) -> None:
    A, B = tmp_path / "A", tmp_path / "B"
    fails(2, [f"--fold_A {A}"], COMBINE, *folders(tmp_path))
    for side in (A, B):
        side.mkdir()
    fails(2, [f"--fold_A {A}"], COMBINE, *folders(tmp_path))
    for path in (A / "1.png", A / "2.png", B / "1.png"):
        image(path, 1)
    fails(2, ["1 of 2", A, B / "2.png"], COMBINE, *folders(tmp_path))
    assert not (tmp_path / "AB").exists()
    image(B / "2.png", 1, size=(5, 4))
    fails(2, [A / "2.png", "6x4", B / "2.png", "5x4"], COMBINE, *folders(tmp_path))


def test_combine_leaves_no_partial_file(tmp_path: Path, fails: Callable[..., None]) -> None:
    for side in "AB":
        image(tmp_path / side / "1.png", 1)
    (tmp_path / "AB" / "1.png").mkdir(parents=True)
    fails(1, [tmp_path / "AB" / "1.png"], COMBINE, *folders(tmp_path))
    assert [path.name for path in (tmp_path / "AB").iterdir()] == ["1.png"]


# ---------------------------------------------------------------------- downloads


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files and parts of them, but only the first `cut` bytes if that is set."""

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
    """The folder that is served, and the flags that make the script use it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Ranges, "ranges", [])
    handler = functools.partial(Ranges, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        for kind in ("cyclegan", "pix2pix"):
            (tmp_path / "www" / kind / "datasets").mkdir(parents=True)
        flags = ["--mirror", f"http://127.0.0.1:{served.server_port}", "--dest", tmp_path / "sets"]
        yield tmp_path / "www", flags
        served.shutdown()


def zipped(path: Path, members: dict[str, str]) -> bytes:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path.read_bytes()


HORSES = {"horse2zebra/trainA/1.jpg": "A" * 500, "horse2zebra/trainB/2.jpg": "B" * 500}


def test_a_download_is_continued_checked_and_unpacked(
    server: tuple[Path, list[object]],
    tmp_path: Path,
    run_script: Callable[..., int],
    fails: Callable[..., None],
    capsys: pytest.CaptureFixture,
) -> None:
    www, flags = server
    content = zipped(www / "cyclegan/datasets/horse2zebra.zip", HORSES)
    total = hashlib.sha256(content).hexdigest()
    command = [DOWNLOAD, "horse2zebra", *flags]
    Ranges.cut = 300
    assert run_script(*command) == 1
    assert names_all(capsys.readouterr().err, ["300", f"{len(content):,}", "horse2zebra.zip"])
    Ranges.cut = None
    assert run_script(*command, "--sha256", "0" * 64) == 1
    assert names_all(capsys.readouterr().err, [total, f"--sha256 {'0' * 64}"])
    assert run_script(*command, "--sha256", total) == 0
    assert Ranges.ranges == [None, "bytes=300-"]
    sets = tmp_path / "sets"
    assert files_in(sets) == ["horse2zebra.zip.sha256", *HORSES]
    assert (sets / "horse2zebra/trainB/2.jpg").read_text() == "B" * 500
    assert (sets / "horse2zebra.zip.sha256").read_text() == f"{total}  horse2zebra.zip\n"
    capsys.readouterr()
    fails(2, [sets / "horse2zebra", "--dest"], *command)


def test_an_earlier_part_may_be_complete_or_too_long(
    server: tuple[Path, list[object]], tmp_path: Path, run_script: Callable[..., int], fails: Callable
) -> None:
    www, flags = server
    content = zipped(www / "cyclegan/datasets/horse2zebra.zip", HORSES)
    part = tmp_path / "sets" / "horse2zebra.zip.part"
    part.parent.mkdir()
    part.write_bytes(content + b"more")
    fails(1, [part], DOWNLOAD, "horse2zebra", *flags)
    assert not part.exists()
    part.write_bytes(content)
    assert run_script(DOWNLOAD, "horse2zebra", *flags) == 0


def test_aligned_sets_are_tar_files(
    server: tuple[Path, list[object]], tmp_path: Path, run_script: Callable[..., int], fails: Callable
) -> None:
    www, flags = server
    with tarfile.open(www / "pix2pix/datasets/facades.tar.gz", "w:gz") as file:
        member = tarfile.TarInfo("facades/train/1.jpg")
        member.size = 3
        file.addfile(member, io.BytesIO(b"abc"))
    fails(2, ["--kind cyclegan", "--kind pix2pix"], DOWNLOAD, "facades", *flags)
    assert run_script(DOWNLOAD, "facades", "--kind", "pix2pix", *flags) == 0
    assert (tmp_path / "sets/facades/train/1.jpg").read_bytes() == b"abc"


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:evil.txt"]
)
def test_an_archive_cannot_write_outside_its_folder(
    tmp_path: Path, run_script: Callable[..., int], capsys: pytest.CaptureFixture, name: str
) -> None:
    zipped(tmp_path / "maps.zip", {"maps/ok.txt": "ok", name: "evil"})
    assert run_script(DOWNLOAD, "maps", "--kind", "cyclegan", "--dest", tmp_path) == 2
    assert name in capsys.readouterr().err
    assert files_in(tmp_path) == ["maps.zip", "maps.zip.sha256"]


def test_links_and_damaged_archives_are_refused(
    tmp_path: Path, run_script: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    tar, zip_ = tmp_path / "night2day.tar.gz", tmp_path / "ae_photos.zip"
    with tarfile.open(tar, "w:gz") as file:
        link = tarfile.TarInfo("night2day/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    zip_link = zipfile.ZipInfo("ae_photos/link")
    zip_link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(zip_, "w") as file:
        file.writestr(zip_link, "/etc/passwd")
    for archive in (tar, zip_):
        name = archive.name.split(".")[0]
        command = [DOWNLOAD, name, "--dest", tmp_path]
        assert run_script(*command) == 2
        assert names_all(capsys.readouterr().err, [archive, f"{name}/link"])
        archive.write_bytes(archive.read_bytes()[:40])
        assert run_script(*command) == 1
        assert names_all(capsys.readouterr().err, [archive])


def test_no_network_and_unknown_names(
    tmp_path: Path,
    run_script: Callable[..., int],
    fails: Callable[..., None],
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    nowhere, dest = "http://127.0.0.1:9", tmp_path / "sets"
    url = f"{nowhere}/cyclegan/datasets/horse2zebra.zip"
    fails(1, [url, dest], DOWNLOAD, "horse2zebra", "--mirror", nowhere, "--dest", dest)
    fails(2, ["horse2zbra", "horse2zebra"], DOWNLOAD, "horse2zbra")
    fails(2, ["pix2pix", "horse2zebra"], DOWNLOAD, "horse2zebra", "--kind", "pix2pix")
    fails(2, ["https://www.cityscapes-dataset.com"], DOWNLOAD, "cityscapes")
    assert run_script(DOWNLOAD, "--list") == 0
    assert "vangogh2photo" in capsys.readouterr().out


# ---------------------------------------------------------------------- demo


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_sigterm_to_the_demo_also_ends_the_command_that_it_runs(tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(7)))\n"
        "print('started', flush=True)\ntime.sleep(30)\n"
    )
    code = f"from scripts import demo; demo.COMMANDS = {str(child)!r}; raise SystemExit(demo.main([]))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert any("started" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20)[0].split() == ["saved"]
    assert process.returncode == 7
