"""One figure: what was measured, and whether it clears its bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` and `bar` in the same unit; most are ratios to a peer in the same run."""

    name: str
    value: float
    bar: float
    detail: str = ""
    good: Literal["high", "low"] = "high"

    @property
    def is_ok(self) -> bool:
        return self.value >= self.bar if self.good == "high" else self.value <= self.bar

    def __str__(self) -> str:
        verdict = "ok" if self.is_ok else "short"
        line = f"{self.name} value={self.value:.2f} bar={self.bar:g} {verdict}"
        return f"{line} ({self.detail})" if self.detail else line
