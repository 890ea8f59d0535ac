#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Measures the engine beside its baselines on this disk. Arguments go to the benchmarks: `contended --seconds 10`.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install_build_packages
exec swift run -c release --package-path Benchmarks Benchmarks "$@"
