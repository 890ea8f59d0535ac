# SPDX-License-Identifier: Apache-2.0
"""`holdfast torture` on this machine: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import pytest

from program import Home

SHAPE = {
    "seed",
    "acknowledged",
    "lost",
    "doubled",
    "lock_errors",
    "integrity",
    "longest_wait_ms",
    "fairness",
    "kills",
    "power_cuts",
    "recoveries",
}


def torture(home: Home, record_property, *arguments: str, timeout: float = 240) -> dict:
    (verdict,) = home.json_lines("torture", *arguments, timeout=timeout)
    record_property(f"torture {' '.join(arguments)}", str(verdict))
    assert set(verdict) >= SHAPE
    assert (verdict["lost"], verdict["doubled"], verdict["lock_errors"]) == (0, 0, 0)
    assert verdict["integrity"] == "ok"
    return verdict


def test_kills_lose_nothing_B10(home: Home, record_property) -> None:
    verdict = torture(home, record_property, "--processes", "8", "--kills", "200")
    assert verdict["kills"] == 200
    assert verdict["acknowledged"] > 0
    assert verdict["recoveries"] > 0


def test_power_cuts_lose_nothing_B11(home: Home, record_property) -> None:
    verdict = torture(home, record_property, "--kills", "0", "--power-cuts", "200")
    assert verdict["power_cuts"] == 200


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_thousands_of_kills_and_power_cuts_lose_nothing_B10_B11(home: Home, record_property) -> None:
    torture(home, record_property, "--processes", "8", "--kills", "2000", timeout=3600)
    torture(home, record_property, "--kills", "0", "--power-cuts", "10000", timeout=3600)
