"""axe-core's verdict on a page that is open in a browser."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

# WCAG 2.0 to 2.2, levels A and AA, and what Deque holds to be good practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(browser: Any) -> list[str]:
    """One line for each broken rule, with the first elements that break it. Inside a figure, a picture to
    whoever cannot see it, nothing is looked at: thousands of marks, and their text is tested elsewhere."""
    browser.execute_script((files("axe_core_python") / "axe.min.js").read_text())
    found = browser.execute_async_script(
        "const done = arguments[1];"
        "axe.run({exclude: [['.plot svg']]}, {runOnly: {type: 'tag', values: arguments[0]}, resultTypes: ['violations']})"
        ".then(result => done(result), error => done({failed: String(error)}))",
        TAGS,
    )
    assert "failed" not in found, found["failed"]
    return [
        f"{rule['id']}: {rule['help']}: {[node['target'] for node in rule['nodes'][:3]]}"
        for rule in found["violations"]
    ]


def themed(browser: Any, theme: str) -> None:
    """`light` or `dark`, as the reader's system would say it."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
