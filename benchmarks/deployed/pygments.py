"""A deployed web has no pygments: DRF imports it where it finds it among the development packages."""

raise ImportError("not in a deployment")
