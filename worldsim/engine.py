"""The rollout engine: many independent lanes of a learned world, stepped together, one latent frame at a
time.

Each time-attention layer keeps a ring of the last W latents' keys and values, before their rotation. All lanes write to
the same slot, ``step mod W``; a mask says which slots belong to a lane's present episode, and positions are ages, so
lanes begin and end at different times inside tensors of fixed shape. A finished latent enters the ring either re-noised
to the context level by one more pass, which the heads are read from (``cache_mode="renoise"``), or with the keys and
values of the last denoising step (``"reuse"``, one pass less). A codec with a memory is shown each lane's last frame,
and what it then shows is encoded again: that latent is what the lane goes on from, and with "renoise" what the heads
are read from; in worlds that the model's configuration says are drawn, the predicted latent is. Where a starter
completes the pictures of a world, it is carried whatever the configuration says, and what nobody has seen of it is
imagined (``imagination.py``). A referee, where the model has one, has the last word on reward and termination, by what
lanes showed before. Randomness is counted (lane seed, step, use), so a lane's future depends neither on its neighbours
nor on how many there are.

A model that holds a player can also do without given actions: ``propose`` samples the one that a player of this world
would take next, ``play`` steps under it.

Knows nothing of Gymnasium. Everything is torch on ``device``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import torch
from einops import repeat

from worldsim.control_tables import control_tables
from worldsim.diffusion import noise, sampler
from worldsim.diffusion.sampler import Sampled
from worldsim.imagination import Imagination
from worldsim.lane_pictures import LanePictures
from worldsim.lane_player import NO_PLAYER, LanePlayer
from worldsim.lane_referee import LaneReferee
from worldsim.lane_text import LaneWords, TextMemory
from worldsim.model.codec import to_uint8
from worldsim.model.conditioning import ACTED, NO_VIEW, Controls
from worldsim.model.heads import REWARD_BINS, bin_values, expected_reward
from worldsim.model.starter import Starter
from worldsim.model.transformer import Prediction, PreparedStep
from worldsim.model.weights import CacheMode, WorldSimulator
from worldsim.passes import Passes
from worldsim.predictor import BLOCK_FRAMES, Block, LaneStart, LaneText, TextKind
from worldsim.screen import Memory, memories
from worldsim.starts import check_start, first_controls, given_controls, given_latents
from worldsim.worlds import WORLDS, WorldSpec

# B lanes, M lanes that begin, K frames of a block, C h w latent, H W frame, W also window

RewardMode = Literal["expected", "sample"]
STATE_VERSION = 13


class RolloutEngine(Passes):
    """``lanes`` worlds of one model. Keeps the ``Predictor`` protocol, whose methods it documents.

    Args:
        model: the simulator; its weights are shared by all engines of one device and type, and never changed.
        lanes: number of independent worlds.
        device: a torch device, or ``"auto"``.
        denoising_steps: K, network evaluations per latent (and one more with ``cache_mode="renoise"``).
        context_noise: noise of context latents in [0, 1), None for the model's own.
        temperature: scale in [0, 1] of the noise that a step begins with, None for the model's own. At 0 the latent is
            what the first pass expects, and no further one is made, whatever K is: they would denoise what has no
            noise, and drift. Where K is more than 1, ``hallucination`` then is the change of the latent between that
            pass and the one over what was drawn, or, with "reuse", between that pass and the picture that is shown.
        cache_mode: ``"renoise"`` or ``"reuse"``, see the module's docstring; None for the model's own, which is
            ``"renoise"`` where noise is drawn: a model that has learned to expect has learned it without.
        frame_size: ``(H, W)`` in pixels, multiples of the model's token, 16 pixels.
        reward: ``"expected"`` value of the head's distribution, or a ``"sample"`` of it.
        dtype: type of the arithmetic, None for bfloat16 where the device has it.
        compile: compiles the network's passes (GPU; the first of each are slow).
        memory: what is kept of what is out of view, beside the window of latents: ``"window"`` nothing, ``"panorama"``
            or ``"places"`` (see ``screen.Memory``); None for the farthest-reaching that the model can serve.
        imagine: what a turn uncovers and nobody has seen is imagined in the worlds whose pictures the model's starter
            completes, and these are carried; else, as with ``memory="window"``, it is the mean that the transformer
            expects, a haze. The attribute ``imagines`` is the digest of that starter, None without.
        window: latents that attention along time sees, the newest included: 1 to those that the model was trained on,
            which is None. The latent before the newest enters it by another way too, whatever the window.
    """

    def __init__(
        self,
        model: WorldSimulator,
        lanes: int = 1,
        device: str | torch.device = "auto",
        denoising_steps: int = 4,
        context_noise: float | None = None,
        cache_mode: CacheMode | None = None,
        frame_size: tuple[int, int] = (64, 64),
        reward: RewardMode = "expected",
        dtype: torch.dtype | None = None,
        compile: bool = False,
        temperature: float | None = None,
        memory: Memory | None = None,
        window: int | None = None,
        imagine: bool = True,
    ) -> None:
        if lanes < 1:
            raise ValueError(f"lanes={lanes}; an engine has at least one lane")
        if denoising_steps < 1:
            raise ValueError(f"denoising_steps={denoising_steps}; at least one is needed")
        if cache_mode not in (None, "renoise", "reuse"):
            raise ValueError(f"cache_mode={cache_mode!r}; accepted are 'renoise' and 'reuse', None for the model's own")
        if reward not in ("expected", "sample"):
            raise ValueError(f"reward={reward!r}; accepted are 'expected' and 'sample'")
        self.temperature = model.config.temperature if temperature is None else float(temperature)
        if not 0 <= self.temperature <= 1:
            raise ValueError(f"temperature={temperature}; accepted is 0 to 1")
        super().__init__(model, device, frame_size, context_noise, dtype, compile, window)
        able = memories(self.codec)
        self.memory = able[-1] if memory is None else memory
        if self.memory not in able:
            raise ValueError(f"memory={memory!r}; this model can serve {', '.join(map(repr, able))}")
        self.lanes = lanes
        self.cache_mode = cache_mode or ("renoise" if self.temperature else model.config.cache_mode)
        self.denoising_steps, self.reward_mode = denoising_steps, reward
        starter = self.model.starter if imagine and self.memory != "window" else None
        self.imagines = None if starter is None or not starter.config.completes else starter.digest
        self._allocate(None if starter is None else Imagination(starter, self.codec, self.dtype, self._bounded))

    @torch.inference_mode()
    def _allocate(self, imagination: Imagination | None) -> None:
        b, device = self.lanes, self.device
        self._ring = self._new_ring(b)
        self._seeds = torch.zeros(b, dtype=torch.int64, device=device)
        self._steps = torch.zeros(b, dtype=torch.int64, device=device)
        self._seconds = torch.ones(b, device=device)
        self._specs: list[WorldSpec | None] = [None] * b
        self._text = TextMemory(self.world, b, device)
        self.pictures = LanePictures(
            self.codec, b, self.frame_size, device, self.memory, imagination, self.model.config.drawn
        )
        sizes, player, referee = self.model.config.world, self.model.player, self.model.referee
        self.referee = None if referee is None else LaneReferee(referee, b, self.latent_shape, device)
        self._player = None if player is None else LanePlayer(player, b, sizes, device)
        self._tables = [table.to(device) for table in control_tables()]
        self._acted = torch.full((b, 1), ACTED, dtype=torch.int64, device=device)
        self._context_tau = torch.full((b,), self.context_tau, device=device)
        self._draws = {"context": noise.needed(self.latent_shape), "termination": 1}
        if self.reward_mode == "sample":
            self._draws["reward"] = 1
        self._blind = torch.zeros(b, device=device)
        self._no_change = torch.full((b, 1), torch.nan, device=device)
        self.reward_values = bin_values(device).clone()

    # what the environment calls

    @torch.inference_mode()
    def begin(self, lanes: Sequence[int], starts: Sequence[LaneStart]) -> Block:
        if len(lanes) != len(starts) or len(set(lanes)) != len(lanes):
            raise ValueError(f"{len(starts)} starts were given for lanes {list(lanes)}; give one for each")
        for start in starts:
            check_start(start, self.frame_size, self.model.config.worlds)
        self._text.begin(lanes, [s.text for s in starts], [s.world.index for s in starts])
        rows = torch.tensor(lanes, device=self.device)
        self._seeds[rows] = torch.tensor([s.seed for s in starts], device=self.device)
        self._steps[rows] = 0
        self._seconds[rows] = torch.tensor([s.world.step_seconds for s in starts], device=self.device)
        self._ring.clear(rows)
        if len(lanes) == self.lanes:  # nobody remembers anything: whoever begins again rounds as before
            self._ring.slot = 0
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, (lane, start) in enumerate(zip(lanes, starts)):
            self._specs[lane] = start.world
            length = 0 if start.frames is None else len(start.frames)
            kind = (start.world.frames_per_step, length, len(start.actions), self._starter_of(start) is not None)
            groups.setdefault(kind, []).append(i)
        self._note_worlds()
        pieces: list[tuple[list[int], Block]] = []
        for (_, length, *_), members in groups.items():
            chosen = rows[torch.tensor(members, device=self.device)]
            begin = self._begin_from_frames if length else self._begin_from_text
            pieces.append((members, begin(chosen, [starts[i] for i in members])))
        return _joined(pieces)

    @torch.inference_mode()
    def step(self, keys: torch.Tensor, camera: torch.Tensor) -> Block:
        if keys.shape != (self.lanes, 32) or camera.shape != (self.lanes, 2):
            raise ValueError(
                f"keys {tuple(keys.shape)} and camera {tuple(camera.shape)}: expected ({self.lanes}, 32) and "
                f"({self.lanes}, 2)"
            )
        ring = self._ring
        ring.advance()
        self._steps += 1
        controls = Controls(keys.to(self.device)[:, None], camera.to(self.device)[:, None], self._acted)
        prepared = self._prepare(ring, controls, self._text.tokens(), self._seconds)
        drawn, read = self._sampled(prepared) if self.temperature else self._expected(prepared)
        latent, finite = self._bounded(drawn.x[:, 0])
        chances = noise.uniforms(self._seeds, self._steps, self._draws)
        eps = noise.normal(chances["context"], self.latent_shape)
        pictures = self.pictures
        pixels, redrawn = pictures.show(latent, controls, self._text, self._seeds, self._steps)
        change = drawn.change[:, 0]
        more = not self.temperature and self.denoising_steps > 1  # than one pass was asked for, to tell how sure it is
        compared = more and self.cache_mode == "reuse"
        if compared or not pictures.all_drawn:
            shown, still = self._bounded_too(pictures.encode(pixels), finite)
            if compared:
                change = _apart(shown, latent)
            if redrawn is not None:
                rows, again = redrawn
                pixels[rows, -1] = again.permute(0, 2, 3, 1)
                shown[rows] = self._bounded(self.codec.encode_normalised(pixels[rows, -1:]))[0]
            if pictures.screen is not None and not pictures.all_drawn:  # what is seen is what is remembered
                carried = pictures.screen.known
                latent, finite = (
                    torch.where(carried[:, None, None, None], shown, latent),
                    torch.where(carried, still, finite),
                )
        context = self._noised(latent, eps, self._context_tau)
        if read is None:
            read = self._network(context, self._context_tau, prepared)
            if more:
                change = _apart(read.x[:, 0], drawn.x[:, 0])
        ring.remember(context, self._context_tau)
        if self._player is not None:
            self._player.saw(controls, read)
        self._text.advance()
        if self.referee is not None:
            read = self.referee.step(controls, read, latent, self._text.world_index)
        return self._block(to_uint8(pixels), latent, read, change, finite, chances)

    @torch.inference_mode()
    def propose(self) -> torch.Tensor:
        """int64 ``(B,)``: ids of the actions that the model's player takes next, samples that depend on the lane, its
        seed and its step alone; asked twice, it says the same. ``ValueError`` where the model has no player."""
        if self._player is None:
            raise ValueError(NO_PLAYER)
        return self._player.propose(self._text.world_index, self._seeds, self._steps)

    @torch.inference_mode()
    def play(self) -> tuple[torch.Tensor, Block]:
        """Steps all lanes under the actions that ``propose`` gives; these actions and what they lead to."""
        ids = self.propose()
        keys, camera = (table[self._text.world_index, ids] for table in self._tables)
        return ids, self.step(keys, camera)

    @torch.inference_mode()
    def set_text(self, lanes: Sequence[int], texts: Sequence[str], kind: TextKind, steps: int = 4) -> None:
        if len(lanes) != len(texts):
            raise ValueError(f"{len(texts)} texts were given for {len(lanes)} lanes")
        if any(self._specs[lane] is None for lane in lanes):
            raise ValueError(f"lanes {list(lanes)}: text can be set only in lanes that have begun")
        self._text.set(lanes, texts, kind, steps)
        if kind == "event" and self.pictures.revealing is not None:
            self.pictures.revealing.tell(lanes, texts)

    # state of one lane

    @torch.inference_mode()
    def get_state(self, lane: int) -> dict[str, Any]:
        spec = self._begun(lane)
        text = self._text
        return {
            "version": STATE_VERSION,
            "digest": self.model.digest,
            "kept": self.memory,
            "window": self.window,
            "cache_mode": self.cache_mode,
            "imagines": self.imagines,
            "world": spec.name,
            "seed": int(self._seeds[lane]),
            "step": int(self._steps[lane]),
            "words": asdict(text.words[lane]),
            "view_age": int(text.age[lane]),
            "event_left": int(text.event_left[lane]),
            "memory": self._ring.get_lane(lane),
            "screen": None if self.pictures.screen is None else self.pictures.screen.get_lane(lane),
            "revealing": None if self.pictures.revealing is None else self.pictures.revealing.get_lane(lane),
            "referee": None if self.referee is None else self.referee.get_lane(lane),
            "player": None if self._player is None else self._player.get_lane(lane),
        }

    @torch.inference_mode()
    def set_state(self, lane: int, state: dict[str, Any]) -> None:
        if state.get("version") != STATE_VERSION or state["digest"] != self.model.digest:
            raise ValueError(
                f"the state has version {state.get('version')} and is of model {state.get('digest')}; this "
                f"engine takes version {STATE_VERSION} of model {self.model.digest}"
            )
        for name, kept in (
            ("memory", "kept"), ("window", "window"), ("cache_mode", "cache_mode"), ("imagines", "imagines"),
        ):  # fmt: skip
            if state[kept] != (own := getattr(self, name)):
                raise ValueError(f"the state is of an engine with {name}={state[kept]!r}; this one's is {own!r}")
        if self._player is not None:
            self._player.check(state["player"])
        self._ring.set_lane(lane, state["memory"])
        if self.pictures.screen is not None:
            self.pictures.screen.set_lane(lane, state["screen"])
        if self.pictures.revealing is not None:
            self.pictures.revealing.set_lane(lane, state["revealing"])
        if self.referee is not None:
            self.referee.set_lane(lane, state["referee"])
        if self._player is not None:
            self._player.set_lane(lane, state["player"])
        spec = WORLDS[state["world"]]
        self._specs[lane] = spec
        self._note_worlds()
        words = LaneWords(LaneText(**state["words"]["text"]), state["words"]["event"])
        self._text.begin([lane], [words.text], [spec.index])
        if state["event_left"]:
            self._text.set([lane], [words.event], "event", state["event_left"])
        self._text.words[lane] = words
        self._text.age[lane] = state["view_age"]
        self._seeds[lane], self._steps[lane] = state["seed"], state["step"]
        self._seconds[lane] = spec.step_seconds

    # how lanes begin

    def _begin_from_frames(self, rows: torch.Tensor, starts: Sequence[LaneStart]) -> Block:
        """Lanes whose starts have equally many frames and actions: every given latent goes through the
        network once."""
        k, n = starts[0].world.frames_per_step, len(starts[0].actions)
        frames = torch.from_numpy(np.stack([s.frames for s in starts])).to(self.device)  # type: ignore[misc]
        latents = given_latents(self.codec.encode, frames, k, n)
        given = given_controls(starts, self.device)
        self._prefill(rows, latents, given)
        if self.pictures.screen is not None:
            self.pictures.screen.begin(rows, [s.world for s in starts], frames, k, given, latents)
        shown = repeat(frames[:, -1], "m h w c -> m k h w c", k=BLOCK_FRAMES).contiguous()
        return _first_block(shown, latents[-1])

    def _prefill(self, rows: torch.Tensor, latents: Sequence[torch.Tensor], controls: Controls) -> None:
        """Runs given latents through the network, the last of them into the present slot.

        The view text belongs to the last latent; those before it have none.
        """
        m, count = len(rows), len(latents)
        ring = self._new_ring(m, self._ring.slot - count)
        seeds, seconds = self._seeds[rows], self._seconds[rows]
        text = self._text.tokens(rows)
        before = replace(text, view_age=torch.full_like(text.view_age, NO_VIEW), read=None)
        for j, latent in enumerate(latents):
            ring.advance()
            said = text if j == count - 1 else before
            prepared = self._prepare(ring, controls.frame(j), said, seconds)
            registers = self._remember(ring, latent, seeds, j, prepared)
        self._ring.put(rows, ring)
        if self.pictures.revealing is not None:
            self.pictures.revealing.begin(rows, controls)
        if self.referee is not None:
            self.referee.begin(rows, controls, latents)
        if self._player is not None:
            self._player.begin(rows, controls, registers, prepared.frame.heads)
        self._text.advance(rows)

    def _begin_from_text(self, rows: torch.Tensor, starts: Sequence[LaneStart]) -> Block:
        """First latents from text alone: by the starter, where the model has one that knows the world."""
        starter = self._starter_of(starts[0])
        if starter is not None:
            scenes, views = [s.text.scene for s in starts], [s.text.view for s in starts]
            told = (scenes, views, self._text.world_index[rows], self._seeds[rows])
            drawn = starter.draw(*told, self.latent_shape, self.dtype)
            drawn = replace(drawn, change=torch.zeros_like(drawn.change))  # of another scale than a step's
        else:
            text = self._text.tokens(rows)
            drawn = self._imagined(text, self._text.unguided(text), self._seeds[rows], self._seconds[rows])
        latent, finite = self._bounded(drawn.x[:, 0])
        controls = first_controls(len(rows), self.device)
        self._prefill(rows, [latent], controls)
        image = self.codec.decode(latent, 1)[:, 0]
        if self.pictures.screen is not None:
            self.pictures.screen.begin(rows, [s.world for s in starts], image[:, None], 1, controls, [latent])
        block = _first_block(repeat(image, "m h w c -> m k h w c", k=BLOCK_FRAMES).contiguous(), latent)
        block.hallucination.copy_(self._relative(drawn.change[:, 0], finite))
        block.valid.copy_(finite)
        return block

    def _starter_of(self, start: LaneStart) -> Starter | None:
        """What draws the first latent of ``start``; None where frames are given, or none knows the world."""
        starter = self.model.starter
        knows = start.frames is None and starter is not None and start.world.name in starter.config.worlds
        return starter if knows else None

    # parts of a step

    def _expected(self, prepared: PreparedStep) -> tuple[Sampled, Prediction | None]:
        """Without noise: the latent that one pass over nothing expects, and with "reuse" all that was read there."""
        if self.cache_mode == "reuse":
            read = self._network(None, self._blind, prepared)
            return Sampled(read.x, self._no_change), read
        size = self._step_size(self.lanes, 1)
        return Sampled(self._denoise(None, self._blind, prepared, size), self._no_change), None

    def _sampled(self, prepared: PreparedStep) -> tuple[Sampled, Prediction | None]:
        """With noise: a sample in K passes, and with "reuse" what was read in the last of them."""
        read: list[Prediction] = []
        size = self._step_size(self.lanes, self.denoising_steps)

        def denoise(z: torch.Tensor, tau: torch.Tensor, steps: int) -> torch.Tensor:
            newest = (z[:, 0], tau[:, 0], prepared, size)
            if self.cache_mode == "reuse":
                read.append(self._network(*newest))
            return read[-1].x if read else self._denoise(*newest)

        start = self.temperature * noise.gaussian(self._seeds, self._steps, "latent", self.latent_shape)
        drawn = sampler.sample(denoise, start[:, None], self.denoising_steps, tokens=self.tokens)
        return drawn, read[-1] if read else None

    def _relative(self, change: torch.Tensor, finite: torch.Tensor) -> torch.Tensor:
        return torch.where(finite, change / self.model.config.hallucination_reference, 0.0)

    def _block(
        self,
        frames: torch.Tensor,
        latent: torch.Tensor,
        heads: Prediction,
        change: torch.Tensor,
        finite: torch.Tensor,
        chances: dict[str, torch.Tensor],
    ) -> Block:
        logits, done = heads.reward[:, 0], heads.done[:, 0]
        finite = finite & torch.isfinite(logits).all(1) & torch.isfinite(done)
        distribution = torch.where(finite[:, None], logits.softmax(-1), 0.0)
        if self.reward_mode == "expected":
            reward = expected_reward(logits)
        else:
            chosen = (distribution.cumsum(-1) < chances["reward"]).sum(-1).clamp(max=len(self.reward_values) - 1)
            reward = self.reward_values[chosen]
        probability = torch.where(finite, done.sigmoid(), 0.0)
        return Block(
            frames,
            latent,
            torch.where(finite, reward, 0.0),
            probability,
            chances["termination"][:, 0] < probability,
            self._relative(change, finite),
            finite,
            distribution,
        )

    def _note_worlds(self) -> None:
        self.pictures.note(self._specs)
        if self.referee is not None:
            self.referee.note([spec.index for spec in self._specs if spec is not None])

    def _bounded_too(self, latent: torch.Tensor, finite: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``_bounded``, and zeros where the lane was not finite before."""
        latent, still = self._bounded(latent)
        finite = finite & still
        return torch.where(finite[:, None, None, None], latent, 0.0), finite

    def _begun(self, lane: int) -> WorldSpec:
        if not 0 <= lane < self.lanes:
            raise ValueError(f"lane {lane}; this engine has lanes 0 to {self.lanes - 1}")
        spec = self._specs[lane]
        if spec is None:
            raise ValueError(f"lane {lane} has not begun")
        return spec


def _apart(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """RMS difference ``(B,)`` of latents."""
    return (x - y).square().mean((1, 2, 3)).sqrt()


def _first_block(frames: torch.Tensor, latent: torch.Tensor, bins: int = REWARD_BINS) -> Block:
    m = len(latent)
    zero = torch.zeros(m, device=latent.device)
    no = torch.zeros(m, dtype=torch.bool, device=latent.device)
    return Block(frames, latent, zero, zero.clone(), no, zero.clone(), ~no, torch.zeros(m, bins, device=latent.device))


def _joined(pieces: Sequence[tuple[list[int], Block]]) -> Block:
    """Blocks of groups of lanes as one, in the order of the lanes."""
    if len(pieces) == 1:
        return pieces[0][1]
    order = torch.tensor([i for members, _ in pieces for i in members]).argsort()
    columns = {
        name: torch.cat([getattr(block, name) for _, block in pieces])[order] for name in Block.__dataclass_fields__
    }
    return Block(**columns)
