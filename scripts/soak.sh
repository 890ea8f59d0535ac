#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The long variants: torture with kills and power cuts, a backup of 1 GB beside writers, fairness beside plain SQLite,
# closes under load, an import of a million messages, 10,000 damaged files (HOLDFAST_FUZZ_FILES, HOLDFAST_FUZZ_SEED),
# and the black-box tests marked so, all against a release build where it is the program that is tested. Arguments go
# to pytest.

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
torture_status=0
say "torture: 8 processes, 2,000 kills, 10,000 power cuts"
"$HOLDFAST_BIN" torture --processes 8 --kills 2000 --power-cuts 10000 </dev/null || torture_status=$?

backup_status=0
say "a backup of 1 GB beside 2,000 rows a second: no write waits 100 ms"
"$HOLDFAST_BIN" torture --backup --megabytes 1024 --rate 2000 --processes 4 --limit 100 </dev/null || backup_status=$?

import_status=0
say "1,000,000 messages of transcripts, beside another writer: at least 20,000 a second"
HOLDFAST_BIN="$HOLDFAST_BIN" python3 scripts/import_speed.py --place "$results" --beside --least 20000 </dev/null ||
  import_status=$?

swift_status=0
say "Swift tests in their long form"
swift build --build-tests
# The damaged files are many and small: with an optimised peer and in memory they take minutes, not hours.
swift build -c release --product HoldfastTestPeer
fuzz_peer="$(swift build -c release --show-bin-path)/HoldfastTestPeer"
fuzz_place="$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")"
trap 'rm -rf "$fuzz_place"' EXIT
# One after the other: fairness is measured.
HOLDFAST_SOAK=1 HOLDFAST_FUZZ_PEER="$fuzz_peer" HOLDFAST_FUZZ_PLACE="$fuzz_place" \
  run_swift_tests "$results/swift" "$(swift build --show-bin-path)" --lanes 1 --hours 3 \
  --filter 'FairnessTests|TortureTests|ClosingRace|DoctorFuzz' || swift_status=$?

status=0
HOLDFAST_BIN="$HOLDFAST_BIN" .venv/bin/python -m pytest Tests/BlackBox -m soak \
  --junit-xml "$results/blackbox.xml" "$@" </dev/null || status=$?
python3 scripts/tally.py swift "$swift_status" "$results/swift" blackbox "$status" "$results/blackbox.xml" ||
  status=$?
[ "$torture_status" -eq 0 ] || die "$torture_status" "the torture run broke a promise, see above."
[ "$backup_status" -eq 0 ] || die "$backup_status" "writers waited for the backup, or it broke a promise, see above."
[ "$import_status" -eq 0 ] || die "$import_status" "the import was slower than that, or wrong, see above."
exit "$status"
