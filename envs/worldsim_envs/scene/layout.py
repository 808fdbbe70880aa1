"""What stands in a scene: drawn from the map seed, and written as a MuJoCo model.

Metres; x and y lie in the floor, which is square with its middle at 0, and z points up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from worldsim.captions.facts import Surface, Thing
from worldsim.worlds import COLOURS, SCENE_SHAPES
from worldsim_envs.palette import RGB
from worldsim_envs.places import FreePlaces
from worldsim_envs.things import inventory

HALF = 1.2
"""Half the side of the floor, up to the rim."""
RIM_HEIGHT = 0.07
PUSHER_RADIUS, PUSHER_HEIGHT = 0.07, 0.26
SCREEN = (0.42, 0.02, 0.3)
"""Half the width, thickness and height of the screen."""
TARGET_RADIUS = 0.28
DENSITY, HEAVY_DENSITY = 80.0, 240.0
"""kg per cubic metre; heavy bodies are drawn darker."""
FLOORS: tuple[tuple[str, str], ...] = (
    ("grey", "check"), ("brown", "check"), ("white", "check"), ("green", "check"), ("grey", "plain"),
    ("brown", "plain"), ("blue", "plain"), ("black", "plain"),
)  # fmt: skip
BACKDROPS = ("white", "blue", "cyan", "grey", "black", "pink")
RIMS = ("black", "white", "brown")


@dataclass(frozen=True)
class Body:
    """A body that can be pushed: ``shape`` of ``SCENE_SHAPES``, ``size`` a radius or half a side, ``yaw`` in degrees.
    Balls roll by themselves."""

    shape: str
    colour: str
    x: float
    y: float
    size: float
    yaw: float = 0.0
    heavy: bool = False

    @property
    def mass(self) -> float:
        """kg."""
        volume = {"cube": 8.0, "ball": 4 / 3 * np.pi, "cylinder": 2 * np.pi}[self.shape] * self.size**3
        return float(volume * (HEAVY_DENSITY if self.heavy else DENSITY))


@dataclass(frozen=True)
class SceneLayout:
    """A scene before the first step; ``screen`` is the place and the yaw of the screen, which slides along itself."""

    floor: Surface
    backdrop: Surface
    rim: str
    pusher: tuple[float, float]
    yaw: float
    pitch: float
    bodies: tuple[Body, ...] = ()
    screen: tuple[float, float, float] | None = None
    target: tuple[float, float] | None = None

    def inventory(self) -> tuple[Thing, ...]:
        """Bodies of the scene, equal ones counted."""
        names = [(body.shape, body.colour) for body in self.bodies]
        names += [("occluder", "")] * (self.screen is not None) + [("target", "")] * (self.target is not None)
        return inventory(names)


def generate(map_seed: int, goal: str = "") -> SceneLayout:
    """The scene of ``map_seed``, with the body and the target that ``goal`` needs."""
    rng = np.random.default_rng([map_seed, 0x5CE7E])
    free = FreePlaces(rng, (-HALF, -HALF), (HALF, HALF), 0.02)
    floor = Surface(*FLOORS[rng.integers(len(FLOORS))])
    backdrop = Surface(str(rng.choice([c for c in BACKDROPS if c != floor.colour])), "plain")
    target = free.place(TARGET_RADIUS) if rng.random() < 0.4 else None
    if goal and target is None:
        target = free.place(TARGET_RADIUS)
    screen = (*free.place(0.3), float(rng.integers(4)) * 45.0) if rng.random() < 0.5 else None
    layout = SceneLayout(
        floor, backdrop, str(rng.choice([c for c in RIMS if c != floor.colour])), free.place(PUSHER_RADIUS + 0.02),
        yaw=float(rng.uniform(0, 360)), pitch=float(rng.uniform(-45, -25)), screen=screen, target=target,
    )  # fmt: skip
    kinds = [(str(s), str(c)) for s, c in zip(rng.choice(SCENE_SHAPES, 5), rng.permutation(COLOURS))]
    kinds = kinds[: int(rng.integers(2, 6))]
    if goal:
        _, _, colour, shape, *_ = goal.split()
        kinds = [(shape, colour), *(kind for kind in kinds[:4] if kind[1] != colour)]
    bodies = []
    for shape, colour in kinds:
        size = float(rng.uniform(0.1, 0.16))
        place = free.place(size * (1.42 if shape == "cube" else 1.0))
        bodies.append(Body(shape, colour, *place, size, float(rng.uniform(0, 360)), bool(rng.random() < 0.25)))
    return replace(layout, bodies=tuple(bodies))


def _rgb(colour: str, shade: float = 1.0) -> str:
    return " ".join(f"{shade * v / 255:.3f}" for v in RGB[colour])


def to_xml(layout: SceneLayout, frame_size: tuple[int, int], timestep: float) -> str:
    """The MuJoCo model of a scene, whose pictures are of ``frame_size`` (H, W)."""
    height, width = frame_size
    checked = layout.floor.pattern == "check"
    walls = []
    for number, (across, along) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        long, thick = HALF + 0.1, 0.05
        size = f"{thick if across else long} {long if across else thick} {RIM_HEIGHT}"
        at = f"{across * (HALF + thick)} {along * (HALF + thick)} {RIM_HEIGHT}"
        walls.append(f'<geom name="rim{number}" type="box" size="{size}" pos="{at}" rgba="{_rgb(layout.rim)} 1"/>')
    bodies = [_body_xml(number, body) for number, body in enumerate(layout.bodies)]
    screen, target = "", ""
    if layout.screen is not None:
        x, y, yaw = layout.screen
        screen = (
            f'<body name="screen" pos="{x} {y} {SCREEN[2] + 0.005}" euler="0 0 {yaw}">'
            '<joint name="screen" type="slide" axis="1 0 0" frictionloss="3" damping="2" range="-0.6 0.6"/>'
            f'<geom name="screen" type="box" size="{SCREEN[0]} {SCREEN[1]} {SCREEN[2]}" mass="1.5" '
            f'rgba="{_rgb("grey", 0.7)} 1"/></body>'
        )
    if layout.target is not None:
        x, y = layout.target
        colour = "white" if layout.floor.colour != "white" else "black"
        target = (
            f'<geom name="target" type="cylinder" size="{TARGET_RADIUS} 0.002" pos="{x} {y} 0.002" contype="0" '
            f'conaffinity="0" rgba="{_rgb(colour)} 1"/>'
        )
    px, py = layout.pusher
    return f"""<mujoco>
  <compiler angle="degree"/>
  <option timestep="{timestep}" cone="elliptic"/>
  <visual><global offwidth="{width}" offheight="{height}"/><quality shadowsize="0" offsamples="4"/>
    <headlight ambient="0.45 0.45 0.45" diffuse="0.35 0.35 0.35" specular="0 0 0"/>
    <map znear="0.05" zfar="12"/></visual>
  <statistic extent="2" center="0 0 0.2"/>
  <asset>
    <texture name="floor" type="2d" builtin="checker" width="128" height="128" rgb1="{_rgb(layout.floor.colour)}"
      rgb2="{_rgb(layout.floor.colour, 0.7 if checked else 1.0)}"/>
    <material name="floor" texture="floor" texrepeat="3 3" specular="0"/>
    <texture type="skybox" builtin="flat" rgb1="{_rgb(layout.backdrop.colour)}"
      rgb2="{_rgb(layout.backdrop.colour)}" width="8" height="8"/>
  </asset>
  <worldbody>
    <light pos="0.6 -0.8 3" dir="-0.2 0.25 -1" diffuse="0.4 0.4 0.4" specular="0.1 0.1 0.1"/>
    <geom name="floor" type="plane" size="{HALF} {HALF} 0.1" material="floor" friction="0.6"/>
    {"".join(walls)}{target}{screen}{"".join(bodies)}
    <body name="pusher" pos="{px} {py} {PUSHER_HEIGHT / 2 + 0.004}">
      <joint name="push_x" type="slide" axis="1 0 0"/><joint name="push_y" type="slide" axis="0 1 0"/>
      <geom name="pusher" type="capsule" size="{PUSHER_RADIUS} {PUSHER_HEIGHT / 2 - PUSHER_RADIUS}" mass="2"
        rgba="0.98 0.87 0.74 1" friction="0.2"/>
    </body>
  </worldbody>
  <actuator>
    <velocity joint="push_x" kv="60" forcerange="-40 40" ctrlrange="-3 3"/>
    <velocity joint="push_y" kv="60" forcerange="-40 40" ctrlrange="-3 3"/>
  </actuator>
</mujoco>"""


def _body_xml(number: int, body: Body) -> str:
    kind = {"cube": "box", "ball": "sphere", "cylinder": "cylinder"}[body.shape]
    size = " ".join([str(body.size)] * {"cube": 3, "ball": 1, "cylinder": 2}[body.shape])
    rolling = ' condim="6" friction="0.6 0.005 0.002"' if body.shape == "ball" else ' friction="0.6"'
    return (
        f'<body name="b{number}" pos="{body.x} {body.y} {body.size + 0.002}" euler="0 0 {body.yaw}"><freejoint/>'
        f'<geom name="b{number}" type="{kind}" size="{size}" mass="{body.mass}"{rolling} '
        f'rgba="{_rgb(body.colour, 0.75 if body.heavy else 1.0)} 1"/></body>'
    )
