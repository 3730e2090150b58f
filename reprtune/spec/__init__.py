"""The science as frozen, validated values. No torch, no Optuna, no I/O."""
