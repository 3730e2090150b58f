"""All rows."""

from __future__ import annotations

from tests.faults.rows import workers

ROWS = {row.name: row for row in (*workers.ROWS,)}
