"""Adapters that load and run one kind of artefact each. Workers only."""
