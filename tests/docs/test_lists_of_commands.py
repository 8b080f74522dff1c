"""The pages that list commands, and what they print is not shown: each command does its work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from controlplane.programs import program
from walkthrough import PAGES, Shell, follow, machine

from controlplane import ControlPlane

ROOT = Path(__file__).parents[2]

# What stands before a reader's first command: a project with what its linters and its tests complain of.
PROJECT = r"""
git init --quiet
printf '%s\n' 'webhook-secret' 'feedback-token' '*.db*' '__pycache__' '.*_cache' '*.gz' > .gitignore
printf '[pytest]\n' > pytest.ini
printf 'lint.select = ["I"]\ninclude = ["*.py"]\n' > ruff.toml
printf 'import sys\nimport os\n' > names.py
printf 'WRONG\n' | tee greet.txt shop.txt app.txt > notes.txt
cat > test_greet.py <<'END'
from pathlib import Path


def test_greet():
    assert "WRONG" not in Path("greet.txt").read_text(), "greet.txt is wrong"
END
cat > check.sh <<'END'
#!/bin/sh
! grep -q WRONG notes.txt || echo '{"severity": "High", "issue_type": "Bug", "description": "wrong", "path": "notes.txt"}'
END
cat > fix.py <<'END'
import json
import sys
from pathlib import Path

for finding in json.load(sys.stdin)["findings"]:
    path = Path(finding["path"])
    path.write_text(path.read_text().replace("WRONG", "right"))
END
printf '#!/bin/sh\npython fix.py < "$MENDLOOP_BRIEF_JSON"\n' > fix.sh
chmod +x check.sh fix.sh
git add --all
git -c user.name=ann -c user.email=ann@example.org commit --quiet --message "As it is"
"""

# An agent reads the file that it is told of, and mends the files that stand there.
AGENT = """#!/bin/sh
for word in "$@"; do
  case $word in
    "Read the file "*) brief=${word#Read the file }; brief=${brief% and fix the findings in it} ;;
  esac
  last=$word
done
brief=${brief:-$last}
for name in greet shop app; do
  if grep -q "$name.txt" "$brief"; then sed -i s/WRONG/right/ "$name.txt"; fi
done
"""

# A linter, of one file.
LINTER = """#!/bin/sh
grep -q WRONG {name}.txt && result='{{"ruleId": "W1", "level": "error", "message": {{"text": "wrong"}},
  "locations": [{{"physicalLocation": {{"artifactLocation": {{"uri": "{name}.txt"}}, "region": {{"startLine": 1}}}}}}]}}'
echo '{{"version": "2.1.0", "runs": [{{"tool": {{"driver": {{"name": "{name}"}}}}, "results": ['"$result"']}}]}}'
"""

# Installs what pip would, from the cache that `make setup` has filled.
PIP = '#!/bin/sh\ncommand=$1; shift\nHOME={home} exec {uv} pip "$command" --quiet --python {python} "$@"\n'

# A shell of SQLite, which not each machine has.
SQLITE = """#!/usr/bin/env python3
import sqlite3
import sys

for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):
    print(*row, sep="|")
"""

PROGRAMS = {
    "claude": AGENT,
    "codex": AGENT,
    "aider": AGENT,
    "sqlite3": SQLITE,
    "semgrep": LINTER.format(name="shop"),
    "npx": LINTER.format(name="app"),
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine with a virtual environment, agents and linters."""
    given = machine(tmp_path)
    tools = Path(sys.executable).parent
    there = tmp_path / "mendloop"
    subprocess.run(
        [tools / "uv", "venv", "--quiet", "--no-config", "--python", sys.executable, there],
        check=True,
    )
    pip = PIP.format(home=os.environ["HOME"], uv=tools / "uv", python=there)
    for name, text in (PROGRAMS | {"pip": pip}).items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("pytest", "ruff"):
        (tmp_path / "bin" / name).symlink_to(tools / name)
    path = os.pathsep.join([str(there / "bin"), given["PATH"]])
    return given | {"PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to work in: what of a checkout is installed, and somebody's project."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("src", "deploy"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


BEFORE = {
    "docs/audit.md": "mendloop run lint --review ./check.sh --fix ./fix.sh",
    "docs/cluster.md": r"""
kubectl create namespace agents
mendloop increment 42 --store kubernetes:agents
mendloop increment 42 --store kubernetes:agents
kubectl get configmap task-42-state -n agents -o json | sed 's/\\"iteration\\": *2/\\"iteration\\":1/' | kubectl replace -f -
""",
    "docs/bundles.md": "kubectl delete configmaps --all -n mendloop",
    "docs/cto.md": """
kubectl create namespace agent-platform
kubectl apply -n agent-platform -f "$CHECKOUT/tests/golden/cto/completed.yaml"
""",
    "docs/wire-format.md": "mendloop run lint --store kubernetes:default --review ./check.sh --fix ./fix.sh",
    "docs/runbooks.md": """
kubectl create namespace mendloop
helm install mendloop "$CHECKOUT/deploy/chart/mendloop" -n mendloop
mkdir overlay
printf 'resources: ["%s"]\n' "$(realpath --relative-to=overlay "$CHECKOUT/deploy/service")" > overlay/kustomization.yaml
mendloop increment 42 --store kubernetes:mendloop
mendloop serve --store kubernetes:mendloop 2> serve.log &
curl --silent --retry 50 --retry-delay 1 --retry-all-errors --fail localhost:9090/readyz
until kubectl get lease mendloop-leader -n mendloop; do sleep 0.2; done
""",
}


def test_the_pages_of_a_laptop(environment: dict[str, str], project: Path) -> None:
    """A reader of the service and of the audit types what stands there, one after another."""
    with Shell(project, environment) as shell:
        assert shell.type(PROJECT)[1] == 0
        for page in PAGES["a project"]:
            follow(page, shell, before=BEFORE.get(page, ""), tells_all=False)


def test_the_pages_of_a_cluster(
    own_control_plane: ControlPlane, environment: dict[str, str], project: Path, tmp_path: Path
) -> None:
    """A reader of the README goes on in a cluster, moves tasks into it, and puts back what was saved of it."""
    kubectl = program(own_control_plane.binaries, "kubectl")
    (tmp_path / "bin" / "kubectl").symlink_to(kubectl)
    environment["KUBECONFIG"] = str(own_control_plane.kubeconfig(tmp_path / "config"))
    copy = "$(mendloop restore 42 --list -o json | jq --raw-output '[.. | objects | .name // empty][0]')"
    with Shell(project, environment) as shell:
        assert shell.type(PROJECT)[1] == 0
        for page in PAGES["a project and a cluster"]:
            follow(page, shell, before=BEFORE.get(page, ""), tells_all=False, meant={"NAME": copy})
            shell.type("unset MENDLOOP_STORE")
        backup = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8")
        printed, code = shell.type(backup.partition("```sh\n")[2].partition("```")[0])
        assert (code, printed.splitlines()[-1]) == (0, "nothing is wrong"), printed


def test_the_runbooks(own_control_plane: ControlPlane, helm_file: Path, tmp_path: Path) -> None:
    """Whoever is woken can type what stands there; only the logs are empty, where no Pod runs."""
    environment = machine(tmp_path)
    kubectl = program(own_control_plane.binaries, "kubectl")
    for tool in (kubectl, helm_file, Path(sys.executable).with_name("mendloop")):
        (tmp_path / "bin" / tool.name).symlink_to(tool)
    (tmp_path / "bin" / "journalctl").symlink_to(
        "/bin/true"
    )  # systemd runs on few machines of tests
    environment["KUBECONFIG"] = str(own_control_plane.kubeconfig(tmp_path / "config"))
    meant = {"TASK": "42", "NAME": "task-42-state", "OVERLAY": "overlay", "/var/lib/mendloop": "."}
    (tmp_path / "work").mkdir()
    with Shell(tmp_path / "work", environment) as shell:
        for page in PAGES["an installed service"]:
            follow(page, shell, before=BEFORE[page], tells_all=False, meant=meant)
