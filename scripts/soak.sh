#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long variants of the black-box tests, against a release build. Arguments go to pytest.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_build_packages
install_test_packages
make_venv

results="$root/artefacts/soak-results"
rm -rf "$results"
mkdir -p "$results"

if [ -z "${HOLDFAST_BIN:-}" ]; then
  say "building release"
  swift build -c release --product holdfast
  HOLDFAST_BIN="$(swift build -c release --show-bin-path)/holdfast"
fi
status=0
HOLDFAST_BIN="$HOLDFAST_BIN" .venv/bin/python -m pytest Tests/BlackBox -m soak \
  --junit-xml "$results/blackbox.xml" "$@" </dev/null || status=$?
exec python3 scripts/tally.py blackbox "$status" "$results/blackbox.xml"
