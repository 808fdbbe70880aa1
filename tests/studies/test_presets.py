"""What a study trains where nothing else is said."""

from worldsim.cli.study import Captions, Joint, Sizes, _defaults
from worldsim.model.transformer import WorldModel
from worldsim.studies.presets import small
from worldsim.training.presets import cpu


def test_small_is_the_recipe_of_cpu_with_two_million_parameters():
    count = sum(p.numel() for p in WorldModel(small().world).parameters())
    assert 2.2e6 < count < 2.3e6
    assert small().levels == cpu().world.levels and small().optim.muon


def test_sizes_are_trained_in_packs_and_the_others_are_not():
    assert [_defaults(kind, small()).train.pack.tokens > 0 for kind in (Joint, Captions, Sizes)] == [False, False, True]
    assert len(_defaults(Sizes, small()).source.sizes) == 4
