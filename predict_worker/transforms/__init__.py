"""What workers do before and after a model, registered by name. Workers only.

An app's ``transforms.py`` is found as Django's admin finds ``admin.py``, in workers alone::

    from predict_worker.transforms import Transform, pre

    @pre("kilograms")
    def kilograms(signature, options):
        factor = options.get("factor", 0.4536)
        return Transform(signature.inputs, lambda arrays: {"x": arrays["x"] * factor})

``model.toml`` chooses it with ``[transforms] pre = "kilograms"``; its options are in ``[kilograms]``.
"""

from ..core.errors import InvalidRequest
from ..core.spec import Signature, TensorSpec
from . import decode_image, tokenise, top_k  # noqa: F401  registers them
from .registration import Options, Transform, post, pre

__all__ = ["InvalidRequest", "Options", "Signature", "TensorSpec", "Transform", "post", "pre"]
