"""What a process must not have done before it forks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def tensorflow_has_run(modules: Mapping[str, Any] = sys.modules) -> bool:
    """Whether TensorFlow is initialised in this process, which takes more than an import: an operation,
    ``list_physical_devices``, a constant. Its forked children would hang."""
    context = modules.get("tensorflow.python.eager.context")
    active = getattr(context, "_context", None)
    return active is not None and bool(getattr(active, "_initialized", False))
