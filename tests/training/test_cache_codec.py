"""A cache of latents knows the codec that made it."""

import pytest
import torch
from shades import make_episode

from worldsim.model.codec import codec_digest
from worldsim.model.debug import debug_simulator
from worldsim.training.cache_codec import NOTE, claim_cache
from worldsim.training.latents import LatentStore, encode_episode
from worldsim.training.pipeline import fill_cache, opened_cache
from worldsim.training.sources import SourceConfig

SOURCE = SourceConfig(steps=1)  # never played here: the cache has latents


@pytest.fixture
def codec():
    return debug_simulator(bank=False).codec


@pytest.fixture
def cache(codec, tmp_path):
    claim_cache(tmp_path, codec)
    LatentStore([encode_episode(make_episode(8), codec)]).append_to(tmp_path)
    return tmp_path


def test_the_codec_that_made_a_cache_may_read_it_and_another_may_not(codec, cache):
    assert len(opened_cache(SOURCE, codec, cache, 6).episodes) == 1
    other = debug_simulator(seed=1, bank=False).codec
    for use in (opened_cache, fill_cache):
        with pytest.raises(ValueError, match="are of another codec"):
            use(SOURCE, other, cache, 6)


def test_a_codec_that_only_decodes_otherwise_may_read_it(codec, cache):
    before = codec_digest(codec)
    with torch.no_grad():
        codec.image.bias.add_(1)
    assert codec_digest(codec) != before
    assert len(opened_cache(SOURCE, codec, cache, 6).episodes) == 1
    codec.latent_mean.add_(1)
    with pytest.raises(ValueError, match="are of another codec"):
        opened_cache(SOURCE, codec, cache, 6)


def test_a_cache_of_before_is_taken_with_a_warning(codec, cache):
    (cache / NOTE).unlink()
    with pytest.warns(UserWarning, match="does not say which codec made its latents"):
        assert len(opened_cache(SOURCE, codec, cache, 6).episodes) == 1
    assert not (cache / NOTE).exists()
