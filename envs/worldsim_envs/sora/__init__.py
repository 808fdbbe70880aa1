"""The learned environment ``SoraWorld-v0``: one world (``SoraWorldEnv``), or N on one network
(``SoraWorldVectorEnv``)."""

from worldsim_envs.sora.single import SoraWorldEnv
from worldsim_envs.sora.vector import SoraWorldVectorEnv

__all__ = ["SoraWorldEnv", "SoraWorldVectorEnv"]
