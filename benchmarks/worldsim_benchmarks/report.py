"""The table that is printed: what was measured, with its interval, beside the number to reach.

Lines are made from a summary alone. ``ok`` is None where a number is only reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FREE_HORIZON = 32


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    what: str
    value: str
    target: str = ""
    ok: bool | None = None


def interval(entry: dict[str, Any] | None, digits: int = 2) -> str:
    """``value [low, high]`` of an interval as it stands in a summary."""
    if not entry or entry["value"] is None or entry["value"] != entry["value"]:
        return "-"
    low, high = (f"{v:.{digits}f}" if v is not None else "-" for v in (entry["low"], entry["high"]))
    return f"{entry['value']:.{digits}f} [{low}, {high}]"


def probe_lines(result: dict[str, Any]) -> list[Line]:
    """All lines of a sealed result: the headlines, then the candidates' tasks with their gate rates."""
    scores = result["score"]["candidates"]
    lines = [Line(f"{n}: headline of {len(s['tasks'])} tasks", interval(s["headline"])) for n, s in scores.items()]
    for found in result["score"].get("responses", []):
        slope, fit = interval(found["slope"]), interval(found["r_squared"])
        lines.append(Line(f"{found['candidate']}: {found['task']}, response to dose", f"slope {slope}, R^2 {fit}"))
    for name in result["config"]["candidates"]:
        for task, score in scores.get(name, {}).get("tasks", {}).items():
            gates = ", ".join(f"{k} {_share(score[k])}" for k in ("moved", "continued", "given"))
            failed = f", {score['failed']} failed" if score["failed"] else ""
            lines.append(Line(f"{name}: {task}", f"{interval(score['score'])} ({gates}{failed})"))
    rates = result["score"].get("rates", ())
    return lines + [Line(r["what"], interval(r["value"]), r["bar"], r["ok"]) for r in rates]


def _share(entry: dict[str, Any]) -> str:
    return "-" if entry["value"] is None else f"{entry['value']:.0%}"


def fidelity_lines(summary: dict[str, Any]) -> list[Line]:
    """All lines of a fidelity summary, for the parts that it holds."""
    parts = summary["parts"]
    height, width = summary["config"]["frame_size"]
    makers: dict[str, Callable[[dict[str, Any]], Iterator[Line]]] = {
        "onestep": lambda part: _onestep(part, 4 * height * width * 3),
        "free": _free,
        "control": _control,
        "reading": _reading,
        "events": _events,
        "prompts": _prompts,
        "minute": _minute,
    }
    return [line for name, maker in makers.items() if parts.get(name) for line in maker(parts[name])]


def _onestep(part: dict[str, Any], pixels: int) -> Iterator[Line]:
    if "codec_all" in part:
        times = f", {pixels / part['latent_numbers']:.0f}x fewer numbers" if "latent_numbers" in part else ""
        value = part["codec_all"]["value"]
        yield Line(
            "codec, PSNR of true test frames (dB)",
            interval(part["codec_all"]) + times,
            ">= 32, >= 48x",
            value >= 32,
        )
    for name in ("model", "codec", "copy_last"):
        if name in part:
            label = f"one step, {name}: median PSNR / SSIM, co-visible, moving"
            yield Line(label, f"{interval(part[name]['psnr'])} / {interval(part[name]['ssim'])}")
    if "db_below_codec" in part:
        gap = part["db_below_codec"]
        yield Line("one step: dB below the codec", f"{gap:.2f}", "<= 3", gap <= 3)
    lead = part["db_above_copy_last"]
    yield Line("one step: dB above copy_last", f"{lead:.2f}", "> 0", lead > 0)
    if "loss_action_ratio" in part:
        ratio = part["loss_action_ratio"]
        yield Line("loss with wrong / with true actions", interval(ratio), ">= 1.5", ratio["value"] >= 1.5)
    if "sampled_action_ratio" in part:
        yield Line("sampled error, wrong / true actions", interval(part["sampled_action_ratio"]), "(>= 1.5)")


def _free(part: dict[str, Any]) -> Iterator[Line]:
    known = part["groups"]["known"]
    for key, verdict in known["above"].items():
        horizon = int(key)
        if not verdict:
            continue
        best = verdict["best_floor"]
        value = interval(verdict["differences"][best], 3)
        share = known["mask"][key]
        label = f"free, {horizon} steps: SSIM above best floor ({best}), mask {share:.0%}"
        target = "low > 0, each floor" if horizon <= FREE_HORIZON else ""
        yield Line(label, value, target, verdict["above_all_floors"] if horizon <= FREE_HORIZON else None)
        yield Line(f"free, {horizon} steps: skill between best floor and codec", interval(verdict["skill"], 3))
    yield Line("free: H*, last horizon above all floors", f"{known['h_star']} steps", ">= 32", known["h_star"] >= 32)
    for name, group in part["groups"].items():
        if name != "known":
            yield Line(f"free, {name}: H*", f"{group['h_star']} steps")
    if part["world_repeats_exactly"]:
        yield Line("free: second true run", "equal, bit for bit (the world has no randomness here)")


def _control(part: dict[str, Any]) -> Iterator[Line]:
    for name, gains in part.items():
        slope = gains["yaw_slope"]
        judged = name == "model"
        inside = None if not judged or slope["value"] is None else 0.9 <= slope["value"] <= 1.1
        failed = f", failed {gains['yaw_failures']['value']:.1%}"
        yield Line(f"control, {name}: yaw slope", interval(slope, 3) + failed, "0.9 to 1.1" if judged else "", inside)
        if judged:
            still = interval(gains["yaw_slope_failures_as_still"], 3)
            yield Line("control, model: yaw slope, failures as no motion", still)
            for key, label in (("zoom_gain", "walking (zoom against truth's)"), ("strafe_gain", "strafing")):
                if key in gains:
                    yield Line(f"control, model: gain of {label}", interval(gains[key], 3))
        yield Line(f"control, {name}: change per step under noop (grey levels)", interval(gains["noop_change"]))


def _reading(part: dict[str, Any]) -> Iterator[Line]:
    for reason in part.get("skipped", ()):
        yield Line("reading: left out", reason)
    for name, rating in part.items():
        if name != "skipped":
            yield Line(f"reading, {name}: F1 of the commands read", _read(rating))
    if "below_codec" in part.get("model", {}):
        yield Line("reading, codec: F1 above the model's", interval(part["model"]["below_codec"]))
    for floor, gap in part.get("model", {}).get("above", {}).items():
        yield Line(f"reading, model: F1 above {floor}", interval(gap), "low > 0", (gap["low"] or 0) > 0)


def _read(rating: dict[str, Any]) -> str:
    answered = rating["coverage"]["value"] or 0.0
    right = f", answers right {interval(rating['accuracy'])}" if answered else ""
    return f"{interval(rating['f1'])}{right}, answered {answered:.0%}"


def net_lines(rows: dict[str, list[dict[str, Any]]]) -> list[Line]:
    """Accuracy of the shipped nets of one world, a line for each look of the pictures."""
    lines = [Line(f"commands, {r['look']}: F1", _read(r)) for r in rows.get("actions", ())]
    for r in rows.get("things", ()):
        told = f"hits {interval(r['hits'])}, false alarms {interval(r['false_alarms'], 3)}"
        answered = (
            f"answered {_share(r['coverage_in_view'])} of what is in view, {_share(r['coverage_absent'])} of the rest"
        )
        lines.append(Line(f"things, {r['look']}", f"{told}; {answered}; place right {_share(r['placed'])}"))
    for r in rows.get("agreement", ()):
        if not r["pictures"]:
            lines.append(Line(f"net and exact vote agree, {r['look']}", "no picture shows enough of a thing"))
            continue
        told = f"{interval(r['agree'])}, both answer {_share(r['both_answer'])} of {r['pictures']} pictures"
        each = f"net right {_share(r['net_right'])}, vote right {_share(r['vote_right'])}"
        lines.append(Line(f"net and exact vote agree, {r['look']}", f"{told}; {each}"))
    return lines


def world_net_lines(ratings: Mapping[str, Mapping[str, Sequence[int]]]) -> list[Line]:
    """How often the shipped net reads a picture's world right: a line for each world and one for all, by look."""
    from worldsim_benchmarks.nets.worlds import total

    each = {world.rpartition("/")[2]: looks for world, looks in ratings.items()} | {"all": total(ratings.values())}
    return [
        Line(f"{name}: read right", ", ".join(f"{look} {right} of {n}" for look, (right, n) in looks.items()))
        for name, looks in each.items()
    ]


def _events(part: dict[str, Any]) -> Iterator[Line]:
    for world, kinds in part.items():
        short = world.rpartition("/")[2]
        for kind, rating in kinds.items():
            if not rating["positives"]:
                continue
            value = interval(rating.get("auroc"), 3) + f", n+ {rating['positives']}"
            if "calibration_error" in rating:
                value += f", calibration error {rating['calibration_error']:.3f}"
            judged = rating["rated"] and "auroc" in rating
            ok = rating["auroc"]["value"] >= 0.95 if judged else None
            yield Line(f"{short}: AUROC of {kind}", value, ">= 0.95" if judged else "(too few)", ok)


def _prompts(part: dict[str, Any]) -> Iterator[Line]:
    codec = f" / through the codec {interval(part['detector_on_codec'])}" if "detector_on_codec" in part else ""
    yield Line("wall colour detector, accuracy on true frames", interval(part["detector_on_truth"]) + codec)
    named = part["named"]
    yield Line("prompt start shows the named wall colour", interval(named), ">= 0.80", named["value"] >= 0.8)
    yield Line("the same, colour words of wall and floor swapped", interval(part["swapped"]))
    yield Line("shows the floor's colour on the walls instead", interval(part["floor_instead"]))
    yield Line("shows the colour of another prompt (chance)", interval(part["other_prompt"]))


def _minute(part: dict[str, Any]) -> Iterator[Line]:
    for name, verdict in part["candidates"].items():
        if name == "truth":
            continue
        outside = [k for k, inside in verdict["inside"].items() if not inside]
        text = "all inside" if verdict["all_inside"] else "outside: " + ", ".join(outside)
        share = verdict["share_of_rollout_segments_inside"]
        value = f"{text} (single rollouts: {share:.0%} inside)"
        yield Line(
            f"one minute, {name}: median of each 5 s segment",
            value,
            "5th-95th of truth",
            verdict["all_inside"],
        )
        for age, told in verdict.get("told_apart", {}).items():
            yield Line(f"{name} told from the truth at {age} s, AUROC of a classifier", interval(told))


def table(lines: list[Line]) -> str:
    """The lines as text."""
    marks = {True: "yes", False: "NO", None: ""}
    rows = [("what", "measured [95 % interval]", "to reach", "")]
    rows += [(line.what, line.value, line.target, marks[line.ok]) for line in lines]
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)
