"""Addresses of what MLflow's page shows, made from what is recorded."""

from __future__ import annotations

from urllib.parse import quote

from reprtune.spec.objectives import ERROR, OBJECTIVES

IDENTITY_TAG = "reprtune.identity"
SORTED = f"orderByKey={quote(f'metrics.`{OBJECTIVES[ERROR].metric}`', safe='')}&orderByAsc=true"


def run_url(base_uri: str, experiment_id: str, identity: str) -> str:
    """Where MLflow's page at `base_uri` lists the one run with this identity.

    A search rather than the run's own page: the identity is known before the run is made, and stays when
    MLflow is emptied and filled again from the journal. Sorted by error, for a table sorted by time shows a run
    below its parent only, folded away.
    """
    where = quote(f"tags.`{IDENTITY_TAG}` = '{identity}'", safe="")
    return f"{base_uri.rstrip('/')}/#/experiments/{quote(experiment_id, safe='')}/runs?searchFilter={where}&{SORTED}"
