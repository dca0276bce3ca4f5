"""Which transforms ``model.toml`` chooses, and their options.

Those that are shipped are known here by name, so that their options are checked wherever a repository is
read; what they do is in :mod:`predict_worker.transforms`, which workers alone import.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import InvalidRepository
from .values import FLAG, TEXT, Check, one_of, whole

PRE, POST = "pre", "post"
SHIPPED: Mapping[str, Mapping[str, str]] = {
    PRE: {"decode_image": "image", "tokenise": "tokenise"},
    POST: {"top_k": "top_k"},
}
"""Section of the options by name of the transform; a section that is there chooses its transform."""

_SCALE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)\Z")
_FILE_KEYS = ("vocabulary", "labels")


def scale_bounds(text: str) -> tuple[float, float]:
    """Of ``"0..1"``: what black and white become. Raises ValueError."""
    if not (found := _SCALE.match(text)) or not float(found[1]) < float(found[2]):
        raise ValueError(text)
    return float(found[1]), float(found[2])


def _is_scale(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(scale_bounds(value))
    except ValueError:
        return False


SECTIONS: Mapping[str, Mapping[str, Check]] = {
    "image": {
        "input": TEXT,
        "height": whole(1),
        "width": whole(1),
        "channels": one_of(1, 3, 4),
        "scale": Check('two numbers such as "0..1", the smaller first', _is_scale),
        "fit": one_of("stretch", "pad", "crop"),
        "invert": one_of(False, True, "auto"),
        "trim": FLAG,
        "max_pixels": whole(1),
    },
    "tokenise": {
        "input": TEXT,
        "vocabulary": TEXT,
        "length": whole(1),
        "lowercase": FLAG,
        "punctuation": one_of("strip", "split", "keep"),
        "unknown": TEXT,
        "padding": Check("a text", lambda v: isinstance(v, str)),  # Keras pads with the empty token
    },
    "top_k": {"output": TEXT, "k": whole(1), "labels": TEXT, "softmax": FLAG},
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """One transform of a model: its name, and the content of the section with its options."""

    name: str
    section: str
    options: Mapping[str, Any]
    shipped: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that it reads, as far as that can be known here."""
        return tuple(self.options[key] for key in _FILE_KEYS if self.shipped and key in self.options)


def choose(stage: str, sections: Mapping[str, Mapping[str, Any]], reserved: Iterable[str]) -> Chosen | None:
    """What ``[transforms]`` names for this stage (pre or post), else what a section of options implies.

    ``reserved``: words that no transform of an app may be called, being keys of the file. Raises
    InvalidRepository.
    """
    shipped = SHIPPED[stage]
    implied = [name for name, section in shipped.items() if section in sections]
    name = sections.get("transforms", {}).get(stage) or next(iter(implied), None)
    for other in implied:
        if other != name:
            text = f"[{shipped[other]}] without effect: transforms.{stage} is {name!r}, not {other!r}"
            raise InvalidRepository(f"model.toml: {text}")
    if name is None:
        return None
    if name not in shipped and name in reserved:
        raise InvalidRepository(f"model.toml: transforms.{stage}: no {stage}-transform is called {name!r}")
    section = shipped.get(name, name)
    options = sections.get(section, {})
    if name == "tokenise" and "vocabulary" not in options:
        raise InvalidRepository("model.toml: tokenise.vocabulary: expected the name of a file, got nothing")
    return Chosen(name, section, options, name in shipped)
