"""The command that takes pictures out of films."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.progress import progress
from pipeline.sample import Reject
from pipeline.store import require_local
from pipeline.trouble import Usage
from stages.commands.collect import label_folder

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Frames:
    """Take frames of films into raw/<label>/; a film never lies on both sides of the split."""

    label: str | None = None
    """The label's folder below raw/ that is filled."""
    video: Path | None = None
    """A film, or a folder of films."""
    every: float = 0.5
    """Seconds from one frame to the next."""
    faces: bool = False
    """Take only frames that show a face."""
    changed: bool = False
    """Take only frames whose face is not as in the last one that was taken."""

    def __post_init__(self) -> None:
        if self.every <= 0:
            raise ValueError("--every must be over 0")

    def run(self, context: Context) -> int:
        """Returns 1 where a film could not be read."""
        from stages.collecting.frames import every, keep, with_face
        from stages.faces import Faces
        from stages.video.film import Film

        if not (self.label and self.video):
            raise Usage("give a film and a label: make frames VIDEO=film.mp4 LABEL=smile")
        folder = label_folder(require_local(context.settings.common.raw, "frames"), self.label)
        films = _films(self.video)
        faces: Faces = context.settings.stages["faces"]
        failed = 0
        for path in films:
            try:
                film = Film(path)
                bar = progress(film, desc=f"frames {path.name}", total=film.frames, unit=" frames")
                stills = every(bar, self.every)
                if self.faces or self.changed:
                    stills = with_face(stills, faces.in_image, self.changed)
                kept = sum(1 for _ in keep(folder, path, stills))
            except Reject as reject:
                failed += 1
                print(f"frames: {path} gives none ({reject.reason})")
                continue
            early = ", the film ends early" if film.ends_early else ""
            print(f"frames: {kept:,} of {film.decoded:,} frames of {path} in {folder}{early}")
        return int(failed > 0)


def _films(path: Path) -> list[Path]:
    """The film, or all films below the folder. Raises Usage where there is none."""
    from stages.formats.containers import is_video

    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and is_video(file))
    if not found:
        raise Usage(f"{path}: no film was found there")
    return found
