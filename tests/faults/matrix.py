"""All rows."""

from __future__ import annotations

from tests.faults.rows import crowds, disks, services, workers

ROWS = {row.name: row for row in (*workers.ROWS, *services.ROWS, *disks.ROWS, *crowds.ROWS)}
