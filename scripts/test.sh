#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every suite, and at the end one line: N passed, N failed. Arguments go to pytest.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_build_packages
install_test_packages
make_venv

results="$root/artefacts/test-results"
rm -rf "$results"
mkdir -p "$results"

# A failing suite must not keep the next from running: each leaves its exit status for the tally.
swift_status=0
python_status=0

say "building everything, tests included"
if swift build --build-tests; then
  say "Swift tests"
  run_swift_tests "$results/swift" "$(swift build --show-bin-path)" || swift_status=$?

  say "black-box tests"
  HOLDFAST_BIN="${HOLDFAST_BIN:-$(swift build --show-bin-path)/holdfast}" \
    .venv/bin/python -m pytest Tests/BlackBox --junit-xml "$results/blackbox.xml" "$@" \
    </dev/null || python_status=$?
else
  swift_status=$?
  python_status=$swift_status
fi

exec python3 scripts/tally.py \
  swift "$swift_status" "$results/swift" \
  blackbox "$python_status" "$results/blackbox.xml"
