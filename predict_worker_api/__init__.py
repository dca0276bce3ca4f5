"""The package ``api`` under a second name, for a project that has a top-level ``api`` of its own.

The modules are the same files; a process uses one of the two names.
"""

from pathlib import Path

__path__ = [str(Path(__file__).parent.parent / "api")]
