"""The stop rule as workers call it; it lives in `reprtune.spec.stopping`, where reports replay it too."""

from reprtune.spec.stopping import Curve, Other, error_at, should_stop

__all__ = ["Curve", "Other", "error_at", "should_stop"]
