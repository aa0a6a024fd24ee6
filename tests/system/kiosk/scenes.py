"""Every moment of the page by name, and the screens it must fit."""

from agent.biometrics.types import Guidance
from agent.failures import lookup
from agent.verification.screen import Screen, Stage

#: Tall and wide small panels, a 7-inch panel, and a monitor.
SIZES = ((480, 800), (800, 480), (1024, 600), (1920, 1080))


def ending(stage: Stage, code: str) -> Screen:
    return Screen(stage, failure=code, number=lookup(code).number)


SCENES: dict[str, Screen] = {
    "idle": Screen(Stage.IDLE),
    "need-key": Screen(Stage.NEED_KEY),
    "reading": Screen(Stage.READING, document=0.42),
    **{
        f"face-{guidance.value.replace('_', '-')}": Screen(Stage.FACE, document=0.64, guidance=guidance)
        for guidance in Guidance
        if guidance not in {Guidance.TURN_LEFT, Guidance.WATCH_SCREEN}
    },
    "face-turn-left": Screen(Stage.FACE, document=1.0, guidance=Guidance.TURN_LEFT, step=1, steps=3, held=0.6),
    "face-light-red": Screen(Stage.FACE, document=1.0, guidance=Guidance.WATCH_SCREEN, light="#ff2d20"),
    "face-light-blue": Screen(Stage.FACE, document=1.0, guidance=Guidance.WATCH_SCREEN, light="#1030ff"),
    "deciding": Screen(Stage.DECIDING, document=1.0),
    "verified": Screen(Stage.VERIFIED),
    "refused": ending(Stage.REFUSED, "face.mismatch"),
    "staff": ending(Stage.STAFF, "liveness.staffed_path"),
    "try-again": ending(Stage.TRY_AGAIN, "document.timeout"),
    "out-of-order": ending(Stage.OUT_OF_ORDER, "reader.gone"),
}
