"""One figure: what was measured, and whether it clears its bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` and `bar` in the same unit; most are ratios to a peer in the same run.

    A peer's own figure has no bar.
    """

    name: str
    value: float
    bar: float | None = None
    detail: str = ""
    good: Literal["high", "low"] = "high"

    @property
    def verdict(self) -> Literal["ok", "short", ""]:
        if self.bar is None:
            return ""
        cleared = self.value >= self.bar if self.good == "high" else self.value <= self.bar
        return "ok" if cleared else "short"

    def __str__(self) -> str:
        bar = "-" if self.bar is None else f"{self.bar:g}"
        line = f"{self.name} value={self.value:.2f} bar={bar} {self.verdict}".rstrip()
        return f"{line} ({self.detail})" if self.detail else line
