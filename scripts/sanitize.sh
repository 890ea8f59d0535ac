#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The engine's and the stores' tests under Thread Sanitizer and Address Sanitizer. Arguments go to swift_tests.py.
#
# The gateway is left out: a sanitizer build of everything takes four times as long, nearly all of it other people's
# packages. The exit status decides: Swift Testing prints "passed" over a reported race.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_build_packages
install_test_packages

export HOLDFAST_WITHOUT_GATEWAY=1
# XCTest leaks, and forked or killed children never free anything.
export ASAN_OPTIONS=detect_leaks=0
# Go on after a report, to see all of them; exit with 66 in the end.
export TSAN_OPTIONS="halt_on_error=0 suppressions=$root/scripts/tsan-suppressions.txt"

# Most of the damaged files are for the run without sanitizers, which goes through them ten times as fast.
export HOLDFAST_FUZZ_FILES="${HOLDFAST_FUZZ_FILES:-40}"

# That one runs a process with 64 descriptors, and a sanitizer's runtime wants some for itself: the process was
# once killed by its own runtime there. `make test` runs it without one.
say "left out here: sixtyFourDescriptorsAreEnough…_B08, which counts descriptors"

failed=()
for sanitizer in thread address; do
  scratch=".build-$sanitizer"
  say "building with the $sanitizer sanitizer"
  swift build --build-tests --sanitize="$sanitizer" --scratch-path "$scratch" --quiet
  say "testing with the $sanitizer sanitizer"
  binaries="$(swift build --sanitize="$sanitizer" --scratch-path "$scratch" --show-bin-path)"
  run_swift_tests "artefacts/test-results/$sanitizer" "$binaries" \
    --filter '^Holdfast(Engine|Usage|Sessions|Catalog|Mailbox)Tests' --skip 'sixtyFourDescriptors' "$@" || failed+=("$sanitizer")
done
[ "${#failed[@]}" -eq 0 ] || die 1 "the sanitizer found something: ${failed[*]}."
say "both sanitizers are content"
