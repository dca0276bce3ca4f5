"""The model repository on disk: which models and versions exist."""
