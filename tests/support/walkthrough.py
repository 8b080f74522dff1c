"""The pages that somebody follows, typed into a shell as they stand."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["PAGES", "Shell", "Step", "follow", "machine", "matches", "steps_of"]

_ROOT = Path(__file__).parents[2]

# All pages with consoles, by what they need; those of a kind that is typed in order stand in it.
PAGES = {
    "nothing": ("docs/quickstart.md", "docs/upgrade.md", "docs/install.md"),
    "mendloop": ("docs/backup.md", "docs/ci.md", "docs/github.md"),
    "a project": ("docs/service.md", "docs/audit.md"),
    "a project and a cluster": (
        "README.md",
        "docs/cluster.md",
        "docs/bundles.md",
        "docs/cto.md",
        "docs/wire-format.md",
    ),
    "an installed service": ("docs/runbooks.md",),
}

_KEPT = ("LANG", "SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "http_proxy", "https_proxy")
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'?(\w+)'?")
_STAYS = re.compile(r"(?:(\w+=\S+) )?(?=mendloop (serve|watch)\b)")
_IS_READY = "curl --silent --retry 50 --retry-delay 1 --retry-all-errors --fail localhost:{}/readyz"
_HAS_PRINTED = (
    'for _ in $(seq 100); do test -s "$HOME/stays" && break; sleep 0.1; done; test -s "$HOME/stays"'
)
_CODE = re.compile(r"#.*exit code (\d+)")


class Step(NamedTuple):
    """
    What is typed, and what is printed then.

    Attributes:
        command: One or more lines.
        printed: As the page has it; "" where it shows nothing.
    """

    command: str
    printed: str


def steps_of(page: str) -> Iterator[Step]:
    """Yield all that a page has one type, in order: a line after "$ ", and those that go on with it."""
    for block in _BLOCK.findall(page):
        command: list[str] = []
        printed: list[str] = []
        end = ""
        for line in block.splitlines():
            if end or (command and not printed and command[-1].endswith("\\")):
                command.append(line)
                end = "" if line == end else end
            elif line.startswith("$ "):
                if command:
                    yield Step("\n".join(command), "\n".join(printed))
                command, printed = [line[2:]], []
                here = _HEREDOC.search(line)
                end = here[1] if here else ""
            else:
                printed.append(line)
        yield Step("\n".join(command), "\n".join(printed))


def matches(expected: str, printed: str) -> bool:
    """Whether something was printed as a page has it, where "…" stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


class Shell:
    """
    A context manager: bash, as somebody has it open; what still runs in it ends with it.

    Args:
        folder: Where it begins.
        environment: All of its variables.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what runs in the background, and the shell."""
        self.type("kill $(jobs -p) 2> /dev/null; wait")
        self._bash.communicate("exit\n", timeout=60)

    def type(self, command: str) -> tuple[str, int]:
        """Run *command* to its end; what it printed, and its exit code."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        mark = secrets.token_hex(8)
        self._bash.stdin.write(f"{command}\nprintf '\\n%s %d\\n' {mark} $?\n")
        self._bash.stdin.flush()
        printed = ""
        for line in self._bash.stdout:
            if line.startswith(mark):
                return printed.removesuffix("\n").rstrip("\n"), int(line.split()[1])
            printed += line
        raise AssertionError(f"the shell ended at: {command}\n{printed}")


def machine(folder: Path) -> dict[str, str]:
    """All variables of a machine on which nothing of ours is installed; its home is *folder*."""
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "HOME": str(folder),
        "PATH": os.pathsep.join([str(folder / "bin"), "/usr/bin", "/bin"]),
        "CHECKOUT": str(_ROOT),
        "COLUMNS": "200",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # whether pip itself is old says nothing of us
    }


def follow(
    name: str,
    shell: Shell,
    *,
    before: str = "",
    tells_all: bool = True,
    meant: Mapping[str, str] | None = None,
) -> None:
    """
    Type all of a page; each command ends well, or as its comment says, and prints what stands under it.

    What stays until it is ended (`mendloop serve`, `mendloop watch`) stays while what follows is typed, as
    in another terminal, until the next such command or the end of the page. A `grep` may find nothing.

    Args:
        name: Its path in the checkout.
        shell: Where to type.
        before: What is typed first.
        tells_all: Whether a command under which nothing stands prints nothing.
        meant: What somebody types in the place of some words.
    """
    admin = _free_port()
    assert shell.type(_on_free_ports(before, admin))[1] == 0, name
    is_up = {"serve": _IS_READY.format(admin), "watch": _HAS_PRINTED}
    staying = ""
    for command, expected in steps_of(
        _on_free_ports((_ROOT / name).read_text(encoding="utf-8"), admin)
    ):
        typed = command
        for word, text in (meant or {}).items():
            typed = typed.replace(word, text)
        stays = None if command.endswith("&") else _STAYS.match(typed)
        if stays:
            _end(staying, shell)
            staying = stays[2]
            typed = f'{{ export {stays[1] or "_"}; exec {typed[stays.end() :]}\n}} > "$HOME/stays" 2>&1 &'
            typed = f"{typed}\n{is_up[staying]}"
        printed, code = shell.type(typed)
        codes = {0, *map(int, _CODE.findall(command)), *([1] if "| grep" in command else [])}
        shown = expected if expected or (tells_all and not stays) else "…"
        assert (True, True) == (code in codes, matches(shown, printed)), (
            f"$ {typed}\n{printed}\n{code}, but {name} has:\n{expected}"
        )
    _end(staying, shell)


def _on_free_ports(text: str, admin: str) -> str:
    """Others may use the usual ones here."""
    if "localhost:8080" in text or "mendloop serve" in text:
        intake = _free_port()
        text = text.replace("localhost:8080", f"localhost:{intake}")
        listening = f"--listen localhost:{intake} --admin-listen localhost:{admin}"
        text = text.replace("mendloop serve", f"mendloop serve {listening}")
    return text.replace("localhost:9090", f"localhost:{admin}")


def _end(staying: str, shell: Shell) -> None:
    """End what stays as a supervisor does: the service in good order, the others by their signal."""
    if staying:
        printed, code = shell.type("kill $!; wait $!")
        assert code == (0 if staying == "serve" else 143), printed


def _free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])
