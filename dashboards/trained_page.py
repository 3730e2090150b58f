"""What `train` leaves to look at: one trial's result, its curve and drops, and its settings, as one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards import trial_page
from dashboards.html import Section, render
from dashboards.page import Words
from dashboards.terminal import flat, result_rows
from reprtune.history import History
from reprtune.spec.codec import from_plain


def trained_html(result: Mapping[str, Any]) -> str:
    """`result`: of `training.chain.train_one.train_one`, with a history and its `meaning`."""
    spec = result["spec"]
    title = f"{spec['model']['name']} on {spec['task']['dataset']}, seed {spec['seed']}"
    facts = Section(key="result", title="Result", words=Words(facts=tuple(result_rows(result))))
    settings = Section(key="settings", title="Settings", words=Words(facts=tuple(flat(spec))))
    seen = trial_page.sections(from_plain(History, result["history"], "history"), title)
    subtitle = f"Trained without a study: {result['outcome']}."
    return render(title, subtitle, [facts, *seen, settings], trial_page.FOOTER, still=True)
