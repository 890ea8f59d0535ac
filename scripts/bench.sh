#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The benchmarks are a package of their own, so that the library does not depend on what measures it.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -f Benchmarks/Package.swift ] ||
  die 69 "there are no benchmarks in this version: Holdfast makes no claim of speed it cannot measure yet."

install_build_packages
exec swift run -c release --package-path Benchmarks Benchmarks "$@"
