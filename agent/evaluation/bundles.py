"""Bundles of an operator's own: add a model, sign, verify."""

import hashlib
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import tomlkit
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.biometrics.bundle import MANIFEST, SIGNATURE, ModelBundle, parse_manifest
from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import ModelEntry, Role
from agent.biometrics.runtime import Network, describe
from agent.evaluation.errors import EvaluationError

#: How the outputs of each role are called, in the file's order.
OUTPUT_NAMES = {
    Role.DETECT: ("regressors", "scores"),
    Role.POINTS: ("probability", "box", "points"),
    Role.MESH: ("mesh", "presence"),
    Role.EMBED: ("embedding",),
    Role.SECOND: ("embedding",),
    Role.PASSIVE: ("leaf_scores", "leaf_mask"),
}


def add_model(
    folder: Path, file: Path, role: str, contract: str, licence: str, crop: str = "", weight: float | None = None
) -> ModelEntry:
    """Copy `file` into the bundle and write its entry; the bundle starts as a copy of the shipped one.

    `weight` is the share of the similarity that a second embedding has: a second one voids the first one's thresholds.

    Raises:
        EvaluationError: `evaluation.contract`, the input contract cannot be read.
        ModelError: the file is no model, or its tensors do not fit the contract and the role.
    """
    kind = Role(role)
    content = file.read_bytes()
    inputs, outputs = describe(content)
    if len(inputs) != 1 or len(outputs) != len(OUTPUT_NAMES[kind]):
        raise ModelError(
            "model.shape",
            f"{file.name}: {len(inputs)} inputs and {len(outputs)} outputs; {kind} has one input and outputs "
            + ", ".join(OUTPUT_NAMES[kind]),
        )
    _start(folder)
    document = tomlkit.parse((folder / MANIFEST).read_text("utf-8"))
    name = file.name if file.suffix == ".tflite" else file.name + ".tflite"
    entry: dict[str, Any] = {
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "input": _contract(contract, inputs[0]),
        "outputs": [
            {"name": output, "shape": list(shape)} for output, shape in zip(OUTPUT_NAMES[kind], outputs, strict=True)
        ],
        "licence": licence,
        "quantization": "as delivered",
    }
    entry |= {key: value for key, value in (("crop", crop), ("weight", weight)) if value}
    models: Any = document["models"]
    models[str(kind)] = tomlkit.item(entry)
    if kind is Role.SECOND:
        models[str(Role.EMBED)].pop("thresholds", None)
    text = tomlkit.dumps(document).encode()
    manifest = parse_manifest(text)
    added = manifest.models[kind]
    # Nothing is written unless it loads.
    Network(content, added.input.tensor, [output.tensor for output in added.outputs])
    (folder / name).write_bytes(content)
    (folder / MANIFEST).write_bytes(text)
    (folder / SIGNATURE).unlink(missing_ok=True)
    return added


def sign_target(target: Path, key: Path) -> Path:
    """Sign a bundle's manifest or a site manifest; the path of the signature.

    Raises:
        EvaluationError: `evaluation.key`, the key cannot be used.
        ModelError: the bundle does not load.
    """
    if target.is_dir():
        verify_bundle(target, [])
        content, signature = (target / MANIFEST).read_bytes(), target / SIGNATURE
    else:
        content, signature = target.read_bytes(), target.with_name(target.name + ".sig")
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise EvaluationError("evaluation.key", f"{key} is not an unencrypted PEM private key") from error
    if isinstance(private, ed25519.Ed25519PrivateKey):
        signature.write_bytes(private.sign(content))
    elif isinstance(private, ec.EllipticCurvePrivateKey):
        signature.write_bytes(private.sign(content, ec.ECDSA(hashes.SHA256())))
    else:
        raise EvaluationError("evaluation.key", f"{key} is neither P-256 nor Ed25519")
    return signature


def verify_bundle(folder: Path | None, keys: list[bytes]) -> list[dict[str, str]]:
    """Load every model of a bundle; what was checked, a row a model.

    Raises:
        ModelError: the first thing that is wrong.
    """
    if folder is None:
        bundle = ModelBundle.shipped()
    elif keys:
        bundle = ModelBundle.signed(folder, keys)
    else:
        bundle = ModelBundle.unsigned(folder)
    rows = []
    for role, entry in bundle.manifest.models.items():
        bundle.network(role)
        rows.append({"role": str(role), "file": entry.file, "sha256": entry.sha256})
    return rows


def _start(folder: Path) -> None:
    """Make the folder a copy of the shipped bundle unless it holds one."""
    if (folder / MANIFEST).exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for item in resources.files("models").iterdir():
            if item.name == MANIFEST or item.name.endswith(".tflite"):
                with resources.as_file(item) as path:
                    shutil.copyfile(path, folder / item.name)
    except OSError as error:
        raise EvaluationError("evaluation.output", f"{folder}: {error.strerror}") from error


def _contract(text: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """`size=112,colour=RGB,offset=127.5,scale=128[,transposed=true]` as the manifest writes it."""
    try:
        given = dict(part.strip().split("=", 1) for part in text.split(",") if part.strip())
        size = int(given.pop("size", shape[1]))
        contract: dict[str, Any] = {
            "shape": [1, size, size, 3],
            "colour": given.pop("colour", "RGB").upper(),
            "offset": float(given.pop("offset", "127.5")),
            "scale": float(given.pop("scale", "127.5")),
        }
        if given.pop("transposed", "false").lower() in {"1", "true", "yes"}:
            contract["transposed"] = True
    except (ValueError, IndexError) as error:
        raise EvaluationError(
            "evaluation.contract", f"{text!r}: size=112,colour=RGB,offset=127.5,scale=128 is meant"
        ) from error
    if given:
        raise EvaluationError("evaluation.contract", f"{', '.join(given)}: not a part of an input contract")
    if tuple(contract["shape"]) != shape:
        raise ModelError("model.shape", f"the file's input is {list(shape)}, the contract says {contract['shape']}")
    return contract
