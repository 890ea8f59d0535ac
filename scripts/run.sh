#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Build release and serve. Arguments go to `holdfast serve`.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_build_packages

link=()
# A program that carries the Swift runtime starts twice as fast and runs on a machine without Swift.
# Darwin has the runtime in the system.
[ "$(uname -s)" = Darwin ] || link=(--static-swift-stdlib)

say "building release; the first build takes about ten minutes on two cores"
swift build -c release ${link[@]+"${link[@]}"} --product holdfast
exec "$(swift build -c release --show-bin-path)/holdfast" serve "$@"
