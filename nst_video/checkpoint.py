"""What one frame hands to the next, as bytes and back, bit for bit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from nst_video.adam import Moments
from nst_video.crop import Part
from nst_video.focus import Focus, Mirrored
from nst_video.painting import Behind, Prepared, State
from nst_video.revealed import Backdrop
from nst_video.scene import Seen
from nst_video.settings import StyleSettings
from nst_video.sheet import Sheet
from nst_video.spline import Spline

_SHEET = ("places", "whole", "taken")


def pack(state: State) -> bytes:
    """Of a state all that the next frame asks for, in the format of
    safetensors: no code can hide in it."""
    seen = state.prepared.seen
    looked_at = seen.half or seen
    tensors = {
        "image": state.image,
        "ripeness": state.moments.ripeness,
        "weight": state.moments.weight,
        "behind.image": state.backdrop.image,
        "behind.ripeness": state.backdrop.ripeness,
        "sheet.painting": state.sheet.painting.image,
        **{f"sheet.{name}": getattr(state.sheet, name) for name in _SHEET},
        "seen": torch.from_numpy(seen.content),
        **{f"mean.{level}": mean for level, mean in enumerate(state.moments.mean)},
        **{f"square.{level}": square for level, square in enumerate(state.moments.square)},
        **{f"earlier.{ago}": image for ago, image in enumerate(state.earlier)},
        **{f"seen.{ago}": torch.from_numpy(content) for ago, content in enumerate(looked_at.earlier)},
        **{
            f"rest.{'uv'[upside_down]}{'lr'[mirrored]}.{layer}": gram
            for (upside_down, mirrored), rest in state.focus.rest.items()
            for layer, gram in rest.items()
        },
    }
    if state.palette is not None:
        tensors["palette"] = state.palette
    if seen.half is not None:
        tensors["half"] = torch.from_numpy(seen.half.content)
    if looked_at.depicted is not None:
        tensors["depicted"] = torch.from_numpy(looked_at.depicted)
    if seen.backdrop is not None:
        tensors |= {
            f"backdrop.{field.name}": torch.from_numpy(getattr(seen.backdrop, field.name))
            for field in dataclasses.fields(seen.backdrop)
        }
    facts = {
        "age": json.dumps(state.moments.age),
        "losses": json.dumps(state.losses),
        "settings": json.dumps(dataclasses.asdict(state.settings)),
        "focus": json.dumps([_ends(state.focus.part), _ends(state.focus.around), state.focus.share, state.focus.owed]),
    }
    return save({name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, metadata=facts)


def unpack(path: Path, device: torch.device) -> State:
    """The state in a file that `pack` made, on `device`."""
    with safe_open(path, "pt") as file:
        facts = file.metadata()
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no mapping

    def row(name: str) -> list[Tensor]:
        found = [key for key in tensors if key.startswith(name + ".")]
        return [tensors[f"{name}.{number}"] for number in range(len(found))]

    def placed(images: list[Tensor]) -> tuple[Tensor, ...]:
        return tuple(image.to(device) for image in images)

    backdrop = None
    if "backdrop.content" in tensors:
        backdrop = Backdrop(*(tensors[f"backdrop.{field.name}"].numpy() for field in dataclasses.fields(Backdrop)))
    content = tensors["half" if "half" in tensors else "seen"].numpy()
    depicted = tensors["depicted"].numpy() if "depicted" in tensors else None
    earlier = tuple(earlier.numpy() for earlier in row("seen"))
    seen = Seen(content, earlier=earlier, backdrop=backdrop, depicted=depicted)
    if "half" in tensors:
        seen = Seen(tensors["seen"].numpy(), backdrop=backdrop, half=seen)
    nothing = np.empty((0, 0, 3), np.uint8)  # a frame that is painted already is not looked at again
    prepared = Prepared(nothing, torch.empty(0), seen, None)
    moments = Moments(
        placed(row("mean")),
        placed(row("square")),
        tensors["ripeness"].to(device),
        tensors["weight"].to(device),
        json.loads(facts["age"]),
    )
    part, around, share, owed = json.loads(facts["focus"])
    rest = dict[Mirrored, dict[str, Tensor]]()
    for name in tensors:
        if name.startswith("rest."):
            _, (down, across), layer = name.split(".")
            rest.setdefault((down == "v", across == "r"), {})[layer] = tensors[name].to(device)
    given: dict[str, Any] = json.loads(facts["settings"])
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return State(
        prepared,
        tensors["image"].to(device),
        moments,
        StyleSettings(**given),
        json.loads(facts["losses"]),
        Behind(*placed([tensors["behind.image"], tensors["behind.ripeness"]])),
        Sheet(Spline(tensors["sheet.painting"].to(device)), *(tensors[f"sheet.{name}"].to(device) for name in _SHEET)),
        placed(row("earlier")),
        tensors["palette"].to(device) if "palette" in tensors else None,
        Focus(_part(part), _part(around), share, owed, rest),
    )


def _ends(part: Part) -> list[list[int | None]]:
    return [[side.start, side.stop] for side in part]


def _part(ends: list[list[int | None]]) -> Part:
    rows, columns = (slice(*side) for side in ends)
    return rows, columns
