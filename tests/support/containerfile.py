"""
Following a Containerfile without a container runtime: each stage in a Debian root, by chroot.

Only root can do so. The roots that the steps begin with are kept in the user's cache folder, as a
builder keeps its layers: up to the first COPY they depend on nothing but their own text.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import platformdirs
from controlplane.locks import FileLock
from debian import unpack

__all__ = ["Image", "Step", "build", "stages"]

_IMAGE = re.compile(r"docker\.io/library/debian:13(?:\.\d+)?-slim")
_SUITE = "trixie"
_MIRROR = "http://deb.debian.org/debian"
_TRUST = "run/authorities.crt"  # of this machine, for the time of a RUN


class Step(msgspec.Struct, frozen=True):
    """One instruction: its name in capitals, and what stands behind it on one line."""

    name: str
    text: str


class Image(msgspec.Struct):
    """
    What a stage comes to.

    Attributes:
        root: Its files.
        environment: That its processes start with.
        folder: That its processes start in.
        user: Who its processes are.
        entrypoint: What they start with.
    """

    root: Path
    environment: dict[str, str]
    folder: str = "/"
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()

    def command(self, *words: str) -> list[str]:
        """Return the command that runs *words* in it, as its user."""
        return ["/usr/sbin/chroot", f"--userspec={self.user}", str(self.root), *words]


def stages(containerfile: Path) -> dict[str, list[Step]]:
    """Return the steps of each stage, by its name, or its number where it has none."""
    text = re.sub(r"(?m)^#.*\n", "", containerfile.read_text()).replace("\\\n", " ")
    found: dict[str, list[Step]] = {}
    steps: list[Step] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        step = Step(*line.split(maxsplit=1))
        if step.name == "FROM":
            _, _, name = step.text.partition(" AS ")
            steps = found[name or str(len(found))] = []
        steps.append(step)
    return found


def build(containerfile: Path, folder: Path) -> Image:
    """
    Follow all steps, and return the last stage.

    Args:
        containerfile: Beside what it copies.
        folder: For the roots.

    Raises:
        CalledProcessError: A step failed; what it said is in the notes.
    """
    images: dict[str, Image] = {}
    name = ""
    for name, steps in stages(containerfile).items():
        kept = next(place for place, step in enumerate(steps) if step.name == "COPY")
        layer = _kept(steps[:kept])
        root = folder / f"stage-{name}"
        _run(["cp", "--archive", "--reflink=auto", str(layer), str(root)])
        image = images[name] = Image(root, {})
        for step in steps[:kept]:
            if step.name != "RUN":
                _take(step, image, containerfile.parent, images)
        for step in steps[kept:]:
            _take(step, image, containerfile.parent, images)
    return images[name]


def _take(step: Step, image: Image, checkout: Path, images: dict[str, Image]) -> None:
    """Take one step in a stage."""
    match step.name:
        case "RUN":
            _run_inside(step.text, image)
        case "COPY":
            _copy(shlex.split(step.text), image, checkout, images)
        case "ENV":
            image.environment |= dict(word.split("=", 1) for word in shlex.split(step.text))
        case "WORKDIR":
            image.folder = step.text
            (image.root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            image.user = step.text
        case "ENTRYPOINT":
            image.entrypoint = tuple(json.loads(step.text))
        case "FROM" | "EXPOSE" | "CMD":
            pass
        case other:
            raise ValueError(f"{other} is not followed here")


def _copy(words: list[str], image: Image, checkout: Path, images: dict[str, Image]) -> None:
    source = checkout
    if words[0].startswith("--from="):
        source = images[words.pop(0).removeprefix("--from=")].root
    *names, to = words
    target = image.root / os.path.join(image.folder, to).lstrip("/")  # noqa: PTH118 - keeps the end
    for name in names:
        path = source / name.lstrip("/")
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if source is checkout else None
            shutil.copytree(path, target, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(path, target)


def _run_inside(line: str, image: Image) -> None:
    authorities = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(authorities, image.root / _TRUST)
    shutil.copy("/etc/resolv.conf", image.root / "etc" / "resolv.conf")
    trust = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), f"/{_TRUST}")
    usual = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"}
    script = f"cd {shlex.quote(image.folder)} && {line}"
    _run(image.command("/bin/sh", "-c", script), usual | trust | image.environment)
    (image.root / _TRUST).unlink()


def _kept(steps: list[Step]) -> Path:
    """Return the root after the first steps of a stage, which is made once."""
    image = steps[0].text.partition(" ")[0]
    if not _IMAGE.fullmatch(image):
        raise ValueError(f"{image} is no release of Debian that can be made here")
    lines = [step.text for step in steps if step.name == "RUN"]

    def fill(root: Path) -> None:
        _run(["cp", "--archive", str(_debian()), str(root)])
        for line in lines:
            _run_inside(line, Image(root, {}))

    return _made_once("\n".join([image, *lines]), fill)


def _debian() -> Path:
    """Return the root of a Debian with nothing but what every one has."""

    def fill(root: Path) -> None:
        program = root.with_name("debootstrap")
        unpack("debootstrap", program)
        home = {"DEBOOTSTRAP_DIR": str(program / "usr/share/debootstrap")}
        script = str(program / "usr/sbin/debootstrap")
        command = [script, "--variant=minbase", _SUITE, str(root), _MIRROR]
        _run(command, os.environ | home)
        for archive in (root / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        (root / "etc/dpkg/dpkg.cfg.d/quick").write_text("force-unsafe-io\n")

    return _made_once(f"{_SUITE} {_MIRROR}", fill)


def _made_once(what: str, fill: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, which *fill* makes where it is not there."""
    cache = platformdirs.user_cache_path("mendloop", ensure_exists=True) / "debian"
    cache.mkdir(exist_ok=True)
    folder = cache / hashlib.sha256(what.encode()).hexdigest()[:12]
    with FileLock(cache / f"{folder.name}.lock") as lock:
        lock.take()
        if not folder.exists():
            with tempfile.TemporaryDirectory(prefix="draft-", dir=cache) as drafts:
                draft = Path(drafts) / folder.name
                fill(draft)
                draft.rename(folder)
    return folder


def _run(
    command: list[str], environment: dict[str, str] | None = None, folder: Path | None = None
) -> None:
    done = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    try:
        done.check_returncode()
    except subprocess.CalledProcessError as error:
        error.add_note(done.stdout[-3000:])
        raise
