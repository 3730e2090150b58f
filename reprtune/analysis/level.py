"""At which level anything is said: p below 5 %, intervals of 95 %."""

from __future__ import annotations

ALPHA = 0.05
LEVEL = 1 - ALPHA
