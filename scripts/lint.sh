#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every check and reports all that fail, not only the first.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_swift
install_test_packages
make_venv

failures=0
check() {
  local name="$1"
  shift
  if "$@"; then
    say "$name: ok"
  else
    say "$name: FAILED"
    failures=$((failures + 1))
  fi
}

# Tracked files, and new ones not yet added: what a commit would hold.
project_files() { git ls-files --cached --others --exclude-standard -- "$@"; }

licence_headers() {
  local file lacking=0
  while IFS= read -r file; do
    [ -s "$file" ] || continue
    if ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0'; then
      printf '%s: no "SPDX-License-Identifier: Apache-2.0" in the first three lines\n' "$file"
      lacking=1
    fi
  done < <(project_files '*.swift' '*.c' '*.h' '*.py' '*.sh' '*.js' '*.css' '*.yaml' '*.yml' '*.toml' Makefile .ci/run)
  return "$lacking"
}

swift_sources=(Package.swift Sources Tests Examples Benchmarks/Package.swift Benchmarks/Sources)

shell_scripts=()
while IFS= read -r file; do shell_scripts+=("$file"); done < <(project_files '*.sh' .ci/run)

check "Swift format" swift format lint --strict --parallel --recursive "${swift_sources[@]}"
check "licence headers" licence_headers
check "Python format" .venv/bin/ruff format --check --quiet .
check "Python lint" .venv/bin/ruff check --quiet .
check "shell scripts" .venv/bin/shellcheck --external-sources "${shell_scripts[@]}"
check "failure catalogue" python3 scripts/catalogue.py --check

[ "$failures" -eq 0 ] || die 1 "$failures of the checks failed; \`make format\` mends formatting."
