"""Which codec made a latent cache: a digest beside its shards, checked by whoever fills or reads them.

Latents of one codec are noise to a model that was made for another, and nothing in their shapes tells. What decodes is
no part of the digest, so that a codec which learned a memory since, and whose encoder stayed, may use its old cache.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from worldsim.model.codec import Codec, codec_digest

NOTE = "codec.json"


def claim_cache(folder: Path, codec: Codec) -> None:
    """Notes beside an empty cache that ``codec`` encodes its latents, and checks it for one with latents.

    Raises ``ValueError`` where another codec was noted. A cache without a note, as earlier versions made them, is taken
    with a warning.
    """
    path, digest = folder / NOTE, codec_digest(codec, encoder_alone=True)
    if path.exists():
        noted = json.loads(path.read_text())["encoder"]
        if noted != digest:
            raise ValueError(
                f"the latents in {folder} are of another codec (encoder {noted}, this one's is {digest}); give the "
                "codec that made them, or another --cache"
            )
    elif any(folder.glob("latents-*.safetensors")):
        warnings.warn(f"{folder} does not say which codec made its latents; taken to be this one", stacklevel=3)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"encoder": digest}))
