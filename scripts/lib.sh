# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the other scripts: where the project is, and how to get a missing system package.

set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export root
cd "$root"

say() { printf '%s\n' "holdfast: $*"; }

# The exit codes are those of sysexits, as in the program itself: 69 is "unavailable".
die() {
  local code="$1"
  shift
  printf '%s\n' "holdfast: $*" >&2
  exit "$code"
}

have() { command -v "$1" >/dev/null 2>&1; }

# A library counts as present when pkg-config finds it (also one built by hand) or when its package is installed.
have_library() {
  local module="$1" package="$2"
  if have pkg-config && pkg-config --exists "$module"; then return 0; fi
  have dpkg-query && dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'
}

need_swift() {
  have swift || die 69 "Swift is not installed; get Swift 6.2 or later from https://www.swift.org/install/ and try again."
  local version
  version="$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)"
  case "$version" in
  [0-5].* | 6.0 | 6.1)
    die 69 "Swift $version is too old; Holdfast needs 6.2 or later, see https://www.swift.org/install/."
    ;;
  esac
}

# install_packages WHY PACKAGE…: apt on Debian and Ubuntu, Homebrew on macOS; a sentence where neither is there.
install_packages() {
  local why="$1"
  shift
  [ "$#" -gt 0 ] || return 0
  if [ "$(uname -s)" = Darwin ]; then
    have brew || die 69 "$why needs $*; install Homebrew (https://brew.sh) and try again, or install them yourself."
    say "installing with Homebrew ($why): $*"
    brew install --quiet "$@"
    return
  fi
  have apt-get || die 69 "$why needs what Debian calls $*; there is no apt-get here, so install them with your system's package manager and try again."
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    have sudo || die 69 "$why needs $*, and you are neither root nor is there sudo; ask for: apt-get install $*"
    as_root=(sudo)
    # Without a terminal a password prompt would wait for ever.
    [ -t 0 ] || as_root=(sudo -n)
  fi
  say "installing with apt-get ($why): $*"
  local install=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive
    apt-get install --yes --quiet --no-install-recommends "$@")
  # A fresh image has no package lists, an old one has stale ones: fetch them only when the first try fails.
  if ! "${install[@]}" </dev/null >/dev/null 2>&1; then
    ${as_root[@]+"${as_root[@]}"} apt-get update --quiet </dev/null ||
      die 69 "apt-get update failed; $why needs $*, so install them yourself and try again."
    "${install[@]}" </dev/null ||
      die 69 "apt-get could not install $* ($why); install them yourself and try again."
  fi
}

# What compiling and linking needs, beyond Swift itself.
install_build_packages() {
  need_swift
  local missing=()
  have git || missing+=(git)
  if [ "$(uname -s)" != Darwin ]; then
    # macOS has both libraries in its SDK and needs no pkg-config to find them.
    have pkg-config || missing+=(pkg-config)
    have_library sqlite3 libsqlite3-dev || missing+=(libsqlite3-dev)
    have_library zlib zlib1g-dev || missing+=(zlib1g-dev)
  fi
  install_packages "building Holdfast" ${missing[@]+"${missing[@]}"}
}

# The oldest Python the pinned test packages support.
python_is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if have "$candidate" && python_is_recent "$candidate"; then
      command -v "$candidate"
      return 0
    fi
  done
  return 1
}

# What running the tests needs: a Python that can make virtual environments, the sqlite3 shell as a foreign peer, what
# runs workers in containers (tests of those say why they are skipped where it does not), and a browser for the page.
install_test_packages() {
  local missing=() python
  if [ "$(uname -s)" = Darwin ]; then
    find_python >/dev/null || missing+=(python)
    have sqlite3 || missing+=(sqlite)
    install_packages "testing Holdfast" ${missing[@]+"${missing[@]}"}
    return
  fi
  if python="$(find_python)"; then
    # Debian splits ensurepip off into a package of its own; venv alone imports fine without it.
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
      missing+=("$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
  elif have python3; then
    # An older release: its own python3 stays, a newer one goes beside it.
    missing+=(python3.11 python3.11-venv)
  else
    missing+=(python3 python3-venv)
  fi
  have sqlite3 || missing+=(sqlite3)
  have podman || missing+=(podman)
  have runc || have crun || missing+=(runc)
  have chromium || have chromium-browser || have google-chrome || missing+=(chromium)
  install_packages "testing Holdfast" ${missing[@]+"${missing[@]}"}
}

# Makes .venv with the pinned packages, or leaves it alone when it is already the one the pins ask for.
make_venv() {
  local python stamp want
  python="$(find_python)" || die 69 "the tests need Python 3.11 or later, and none was found."
  want="$("$python" -c 'import sys; print(sys.version)' | cat - Tests/BlackBox/requirements.txt | cksum)"
  stamp=.venv/holdfast-stamp
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return 0; fi
  say "making .venv with the packages of Tests/BlackBox/requirements.txt"
  rm -rf .venv
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --requirement Tests/BlackBox/requirements.txt
  printf '%s\n' "$want" >"$stamp"
}

# run_swift_tests RESULTS BINARIES [ARGUMENT…]: what was built, each suite by itself; arguments go to swift_tests.py.
run_swift_tests() {
  local results="$1" bundle="$2/holdfastPackageTests.xctest"
  shift 2
  rm -rf "$results"
  # A crashed Swift program spends seconds in the backtracer, and tests crash programs on purpose.
  SWIFT_BACKTRACE=enable=no python3 scripts/swift_tests.py "$@" "$bundle" "$results" </dev/null
}
