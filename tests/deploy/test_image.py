"""The image's steps, passed in an empty folder: no engine can be had everywhere, a Linux namespace can."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.waiting import until

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
BORROWED = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/dev", "/proc"]
"""What the machine lends in place of the base image; nothing is written there."""

LENT = re.compile(r"(UV|PIP)_\w+|SSL_CERT_FILE|(https?|no)_proxy", re.IGNORECASE)
"""How the machine reaches the registry."""


EMPTY: Mapping[str, str] = {}


class Image:
    """A stage as far as its steps have come: a folder that takes the root's place, and how processes run in it."""

    def __init__(self, root: Path, arguments: dict[str, str]) -> None:
        self.root = root
        self.root.chmod(0o755)
        shutil.copytree("/etc", root / "etc", symlinks=True)
        self.environment = {"PATH": f"{sys.base_prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.arguments = arguments
        self.folder = "/"
        self.user = ("0", "0")
        self.entrypoint: list[str] = []
        self.health: list[str] = []

    def command(self, *command: str, environment: Mapping[str, str] = EMPTY, read_only: bool = False) -> list[str]:
        """What runs a command in it, in namespaces of its own; what it borrows cannot be written to.

        With `read_only` nothing can but for /tmp and /data, which are empty: as compose.yaml has it.
        """
        mounts = [f"mount --bind {self.root} {self.root}"]
        if read_only:
            mounts.append(f"mount -o remount,bind,ro {self.root}")
            mounts += [f"mount -t tmpfs -o mode=1777 tmpfs {self.root}/{place}" for place in ("tmp", "data")]
        for place in [*BORROWED, sys.base_prefix]:
            here = self.root / place.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
            mounts.append(f"mount --rbind {place} {here}")
            if place not in {"/dev", "/proc"}:
                mounts.append(f"mount -o remount,bind,ro {here}")
        (self.root / "tmp").mkdir(exist_ok=True)
        (self.root / "tmp").chmod(0o1777)
        uid, gid = self.user
        told = [f"{name}={value}" for name, value in {**self.environment, **environment}.items()]
        inside = shlex.join(["env", "-i", "-C", self.folder, *told, *command])
        drop = shlex.join(
            ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "sh", "-c", f"exec {inside}"]
        )
        script = " && ".join([*mounts, f"exec chroot {self.root} {drop}"])
        return ["unshare", "--mount", "sh", "-ec", script]

    def path(self, place: str) -> Path:
        return self.root / os.path.normpath(f"{self.folder}/{place}" if not place.startswith("/") else place).lstrip(
            "/"
        )

    def take(self, instruction: str, value: str, stages: dict[str, "Image"], context: Path) -> None:
        match instruction:
            case "ARG":
                name, _, default = value.partition("=")
                self.arguments.setdefault(name, default)
            case "ENV":
                told = dict(word.split("=", 1) for word in shlex.split(value))
                self.environment |= {
                    name: text.replace("$PATH", self.environment["PATH"]) for name, text in told.items()
                }
            case "WORKDIR":
                self.folder = value
                self.path(".").mkdir(parents=True, exist_ok=True)
            case "USER":
                uid, gid = value.split(":")
                self.user = (uid, gid)
            case "COPY":
                *options, source, target = value.split()
                stage = stages[options[0].removeprefix("--from=")] if options else None
                found = stage.path(source) if stage else context / source
                to = self.path(target)
                if found.is_dir():
                    shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True)
                else:
                    shutil.copy2(found, to)
            case "RUN":
                lent = {name: text for name, text in os.environ.items() if LENT.fullmatch(name)}
                command = self.command("sh", "-c", value, environment=lent | self.arguments)
                done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)
                assert done.returncode == 0, f"{value}\n{done.stdout}{done.stderr}"
            case "ENTRYPOINT":
                self.entrypoint = json.loads(value)
            case "HEALTHCHECK":
                self.health = json.loads(value[value.index("CMD ") + 4 :])
            case "VOLUME" | "EXPOSE" | "CMD":
                pass
            case _:
                raise AssertionError(f"this test does not know {instruction}")


def steps() -> list[tuple[str, str]]:
    """Each instruction with what it says, on one line."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\S", text, re.MULTILINE)) <= {"#", *string.ascii_uppercase}
    found = re.findall(r"^([A-Z]+) ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return [(instruction, re.sub(r"\\\n *", "", value)) for instruction, value in found]


def context(folder: Path) -> Path:
    """What the committed and the new files are without those that .dockerignore names: what an engine would be sent."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for name in listed.stdout.splitlines():
        ignored = False
        for pattern in patterns:
            bare = pattern.removeprefix("!").removeprefix("**/")
            if any(fnmatch.fnmatch(part, bare) for part in [name, *map(str, Path(name).parents)] if part != "."):
                ignored = not pattern.startswith("!")
        if not ignored:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The last stage, once every step has been passed."""
    sent = context(tmp_path_factory.mktemp("context"))
    assert not (sent / "tests").exists()
    assert not (sent / "web" / "dashboard").exists()
    stages: dict[str, Image] = {}
    stage = None
    for instruction, value in steps():
        if instruction == "FROM":
            stage = Image(tmp_path_factory.mktemp("stage"), {})
            stages[value.partition(" AS ")[2]] = stage
        else:
            assert stage is not None
            stage.take(instruction, value, stages, sent)
    assert stage is not None
    return stage


def answer(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as response:
        read: bytes = response.read()
    return read


def is_healthy(image: Image) -> bool:
    return subprocess.run(image.command(*image.health), check=False, capture_output=True, timeout=60).returncode == 0


@contextmanager
def serving(image: Image, **environment: str) -> Iterator[None]:
    process = subprocess.Popen(image.command(*image.entrypoint, "serve", environment=environment, read_only=True))
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.tools
@pytest.mark.timeout(900)  # it downloads all dependencies
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces take root")
async def test_the_image_serves_as_nobody_in_particular_and_writes_to_its_data_alone(image: Image) -> None:
    assert image.user == ("10001", "10001")
    with serving(image, SMARTFIN_HOST="127.0.0.1", SMARTFIN_PORT="18471"):
        await until(lambda: is_healthy(image), within_s=90)
        assert b"<title>SmartFin" in answer("http://127.0.0.1:18471/")
    assert not is_healthy(image)
    assert not (image.root / "opt" / "uv").exists()
    assert not (image.root / "build").exists()
