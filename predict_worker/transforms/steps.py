"""A model's transforms, made for its default signature; any other signature is left as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..codec.dtypes import Array
from ..core.errors import InvalidRequest, ModelLoadError, TransformFailed
from ..core.spec import DEFAULT_SIGNATURE, Signature, TensorSpec
from ..declared import as_declared, check_specs
from ..repository.manifest import Manifest
from ..repository.transforms import POST, PRE, Chosen
from .registration import Factory, Options, Transform

Arrays = dict[str, Array]
Find = Callable[[str, str], Factory]
"""A factory by stage and name; raises ModelLoadError."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transform between what it takes and what it must give."""

    name: str
    takes: tuple[TensorSpec, ...]
    gives: tuple[TensorSpec, ...]
    convert: Callable[[Arrays], Mapping[str, Any]]

    def __call__(self, arrays: Arrays) -> Arrays:
        """Raises InvalidRequest as the transform does, TransformFailed from whatever else goes wrong."""
        try:
            given = as_declared(self.gives, self.convert(arrays))
            self._check_rows(arrays, given)
        except InvalidRequest:
            raise
        except Exception as error:
            raise TransformFailed(f"{self.name}: {type(error).__name__}: {error}") from error
        return given

    def _check_rows(self, taken: Arrays, given: Arrays) -> None:
        if all(spec.batched for spec in (*self.takes, *self.gives)):
            rows = {len(array) for array in (*taken.values(), *given.values())}
            if len(rows) > 1:
                raise ValueError(f"{sorted(rows)} rows in and out: expected as many of each")


@dataclass(frozen=True, slots=True)
class Steps:
    pre: Step | None = None
    post: Step | None = None

    def before(self, signature_name: str, arrays: Arrays) -> Arrays:
        """The model's inputs. Raises as :class:`Step` does."""
        return self.pre(arrays) if self.pre and signature_name == DEFAULT_SIGNATURE else arrays

    def after(self, signature_name: str, arrays: Arrays) -> Arrays:
        """What callers get of the model's outputs. Raises as :class:`Step` does."""
        return self.post(arrays) if self.post and signature_name == DEFAULT_SIGNATURE else arrays

    def published(self, own: Mapping[str, Signature]) -> dict[str, Signature]:
        """The model's signatures as callers see them."""
        seen = dict(own)
        if self.pre:
            seen[DEFAULT_SIGNATURE] = replace(seen[DEFAULT_SIGNATURE], inputs=self.pre.takes)
        if self.post:
            seen[DEFAULT_SIGNATURE] = replace(seen[DEFAULT_SIGNATURE], outputs=self.post.gives)
        return seen


def make_steps(
    manifest: Manifest, own: Mapping[str, Signature], directories: Sequence[Path], find: Find
) -> Steps:
    """What ``model.toml`` chooses, for a model of these signatures; files are read from ``directories``.

    Raises ModelLoadError; whatever a transform's factory raises.
    """
    if manifest.pre is None and manifest.post is None:
        return Steps()
    signature = own.get(DEFAULT_SIGNATURE)
    if signature is None:
        raise ModelLoadError(f"transforms are for the signature {DEFAULT_SIGNATURE}, which is missing")

    def made(stage: str, chosen: Chosen) -> Transform:
        transform = find(stage, chosen.name)(signature, Options(chosen.options, tuple(directories)))
        if not isinstance(transform, Transform):
            raise ModelLoadError(f"{chosen.name}: expected a Transform, got {type(transform).__name__}")
        check_specs(chosen.name, transform.specs)
        return transform

    before = after = None
    if manifest.pre:
        transform = made(PRE, manifest.pre)
        before = Step(manifest.pre.name, tuple(transform.specs), signature.inputs, transform.convert)
    if manifest.post:
        transform = made(POST, manifest.post)
        after = Step(manifest.post.name, signature.outputs, tuple(transform.specs), transform.convert)
    return Steps(before, after)
