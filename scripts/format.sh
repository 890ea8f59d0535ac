#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_swift
install_test_packages
make_venv

swift_sources=(Package.swift Sources Tests Examples Benchmarks/Package.swift Benchmarks/Sources)
swift format --in-place --recursive "${swift_sources[@]}"
.venv/bin/ruff format --quiet .
.venv/bin/ruff check --quiet --fix .
