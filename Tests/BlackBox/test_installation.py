# SPDX-License-Identifier: Apache-2.0
"""What `make run` and `make test` install, on machines made of nothing but stubs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from program import ROOT

PLAIN_TOOLS = ["bash", "cat", "dirname", "env", "grep", "head", "sed"]


class Machine:
    """A directory that is the whole PATH; every stub writes its call to a log."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.log = directory / "log"
        self.bin.mkdir()
        self.log.touch()
        for tool in PLAIN_TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.has("swift", 'echo "Swift version 6.3.1 (swift-6.3.1-RELEASE)"')
        self.has("uname", "echo Linux")
        self.has("id", "echo 0")

    def has(self, name: str, script: str = "") -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(f'#!/bin/bash\necho "{name} $*" >> "{self.log}"\n{script}\n')
        (self.bin / name).chmod(0o755)

    def has_everything(self) -> None:
        for name in ("git", "pkg-config", "python3", "sqlite3", "podman", "runc", "chromium"):
            self.has(name)

    def run(self, function: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("bash"), "-c", f". '{ROOT}/scripts/lib.sh'; {function}"],
            env={"PATH": str(self.bin)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def installed(self) -> list[str]:
        """The packages asked for, in the order of the command line."""
        calls = [
            line for line in self.log.read_text().splitlines() if " install " in line and "sudo" not in line
        ]
        return [word for word in calls[-1].split(" install ")[1].split() if word[0] != "-"] if calls else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("function", ["install_build_packages", "install_test_packages"])
def test_nothing_is_asked_for_when_nothing_is_missing(machine: Machine, function: str) -> None:
    """No apt-get, no sudo, not root: all is there, so all is well."""
    machine.has_everything()
    machine.has("id", "echo 1000")
    done = machine.run(function)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fresh_machine_gets_what_building_needs_and_is_told(machine: Machine) -> None:
    machine.has("apt-get")
    done = machine.run("install_build_packages")
    assert done.returncode == 0, done.stderr
    assert machine.installed() == ["git", "pkg-config", "libsqlite3-dev", "zlib1g-dev"]
    assert "building Holdfast" in done.stdout
    assert "libsqlite3-dev" in done.stdout


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.has_everything()
    machine.has("pkg-config", '[ "$2" != zlib ]')
    machine.has("dpkg-query", "exit 1")
    machine.has("apt-get")
    assert machine.run("install_build_packages").returncode == 0
    assert machine.installed() == ["zlib1g-dev"]


def test_an_installed_package_counts_without_pkg_config(machine: Machine) -> None:
    machine.has("git")
    machine.has("dpkg-query", 'echo "install ok installed"')
    machine.has("apt-get")
    assert machine.run("install_build_packages").returncode == 0
    assert machine.installed() == ["pkg-config"]


def test_a_fresh_machine_gets_what_the_tests_need(machine: Machine) -> None:
    machine.has("apt-get")
    assert machine.run("install_test_packages").returncode == 0
    assert machine.installed() == ["python3", "python3-venv", "sqlite3", "podman", "runc", "chromium"]


def test_a_python_without_venv_gets_its_own(machine: Machine) -> None:
    machine.has_everything()
    machine.has("python3", 'case "$2" in *ensurepip*) exit 1;; *venv*) echo python3.12-venv;; esac')
    machine.has("apt-get")
    assert machine.run("install_test_packages").returncode == 0
    assert machine.installed() == ["python3.12-venv"]


def test_an_old_python_gets_a_newer_one_beside_it(machine: Machine) -> None:
    machine.has_everything()
    machine.has("python3", "exit 1")
    machine.has("apt-get")
    assert machine.run("install_test_packages").returncode == 0
    assert machine.installed() == ["python3.11", "python3.11-venv"]


def test_whatever_runs_containers_will_do(machine: Machine) -> None:
    machine.has_everything()
    (machine.bin / "runc").unlink()
    machine.has("crun")
    machine.has("apt-get")
    assert machine.run("install_test_packages").returncode == 0
    assert machine.installed() == []


def test_sudo_is_used_when_not_root_and_never_asks_where_nobody_can_answer(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("sudo", 'shift; exec "$@"')
    machine.has("apt-get")
    assert machine.run("install_build_packages").returncode == 0
    assert machine.installed()
    assert "sudo -n env" in machine.log.read_text()


def test_package_lists_are_fetched_when_the_first_try_fails(machine: Machine, tmp_path: Path) -> None:
    machine.has("apt-get", f'[ "$1" = update ] && : > "{tmp_path}/lists"; [ -e "{tmp_path}/lists" ]')
    done = machine.run("install_build_packages")
    assert done.returncode == 0, done.stderr
    calls = [line.split()[1] for line in machine.log.read_text().splitlines() if line.startswith("apt-get")]
    assert calls == ["install", "update", "install"]


@pytest.mark.parametrize(
    ("stubs", "said"),
    [
        pytest.param({"id": "echo 1000", "apt-get": ""}, "sudo", id="neither root nor sudo"),
        pytest.param({}, "package manager", id="no apt-get"),
        pytest.param({"apt-get": "exit 100"}, "apt-get update failed", id="no network"),
        pytest.param({"uname": "echo Darwin"}, "Homebrew", id="a Mac without Homebrew"),
    ],
)
def test_what_cannot_be_installed_is_said_in_a_sentence(
    machine: Machine, stubs: dict[str, str], said: str
) -> None:
    for name, script in stubs.items():
        machine.has(name, script)
    done = machine.run("install_build_packages")
    assert done.returncode == 69
    assert said in done.stderr
    assert "git" in done.stderr


def test_a_mac_asks_homebrew_by_its_names(machine: Machine) -> None:
    machine.has("uname", "echo Darwin")
    machine.has("brew")
    assert machine.run("install_build_packages; install_test_packages").returncode == 0
    calls = [line for line in machine.log.read_text().splitlines() if line.startswith("brew")]
    assert calls == ["brew install --quiet git", "brew install --quiet python sqlite"]


@pytest.mark.parametrize("version", ["5.10", "6.0", "6.1"])
def test_an_old_swift_is_refused(machine: Machine, version: str) -> None:
    machine.has("swift", f'echo "Apple Swift version {version}.1 (swiftlang)"')
    done = machine.run("install_build_packages")
    assert done.returncode == 69
    assert version in done.stderr


def test_no_swift_is_said(machine: Machine) -> None:
    (machine.bin / "swift").unlink()
    done = machine.run("install_build_packages")
    assert done.returncode == 69
    assert "swift.org" in done.stderr
