"""`renzheng evidence`: repeat every check of a recorded verification, offline, whenever somebody asks."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from agent.failures import RenzhengError
from agent.wire import evidence as wire
from agent.wire.claims import Decision, Request
from agent.wire.errors import WireError
from agent.wire.evidence import EvidenceRecord, Finding


@click.group()
def evidence() -> None:
    """Look at recorded evidence."""


@evidence.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--trust",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with issuer-signing.pem and evidence-ca.pem: a terminal's trust folder, or the issuer's own.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(file: Path, folder: Path, as_json: bool) -> None:
    """Repeat every check on FILE, a record from `renzheng-issuer evidence`, and print each verdict.

    Nothing is asked of the network or of today's clock: certificates are judged at the time of the record's own epoch.
    The exit status is 0 only if every check holds.
    """
    from agent.trust import anchors

    try:
        record = EvidenceRecord.decode(file.read_bytes(), limit=wire.RECORD_LIMIT)
    except WireError as error:
        raise RenzhengError("evidence.malformed", f"{file} is not an evidence record: {error}") from error
    findings, request, decision = wire.verify(record, anchors.load_evidence_trust(folder))
    if as_json:
        click.echo(json.dumps(_machine(findings, request, decision)))
    else:
        _show(findings, request, decision)
    if not all(finding.holds for finding in findings):
        raise SystemExit(1)


def _machine(findings: list[Finding], request: Request | None, decision: Decision | None) -> dict[str, object]:
    return {
        "holds": all(finding.holds for finding in findings),
        "checks": [
            {"check": finding.check, "holds": finding.holds, "problem": finding.problem} for finding in findings
        ],
        "evidence": None if request is None else dict(_facts(request, decision)),
    }


def _show(findings: list[Finding], request: Request | None, decision: Decision | None) -> None:
    console = Console()
    table = Table("check", "verdict", title="Evidence")
    for finding in findings:
        verdict = "[green]holds[/]" if finding.holds else f"[red]fails[/]: {finding.problem}"
        table.add_row(finding.check, verdict)
    console.print(table)
    if request is not None:
        said = Table("of", "said", title="What was attested")
        for name, value in _facts(request, decision):
            said.add_row(name, value)
        console.print(said)


def _facts(request: Request, decision: Decision | None) -> list[tuple[str, str]]:
    """What a verified record says, in words."""
    facts = [
        ("terminal", request.terminal),
        ("request", request.request_id.hex()),
        ("relying party", f"{request.relying_party} ({request.purpose})"),
        ("software", f"{request.software_name} {request.software_version}"),
        ("clock", request.clock.trust),
    ]
    if request.document is not None:
        checks = ", ".join(f"{check.name} {check.verdict}" for check in request.document.checks)
        facts.append(("document", f"{request.document.kind} by {request.document.access}: {checks}"))
    if request.face is not None:
        face = request.face
        facts.append(("liveness", f"{face.liveness.verdict} by policy {face.liveness.policy}"))
        if face.similarity is not None:
            facts.append(("similarity", f"{face.similarity:.3f} against {face.threshold} (FMR {face.target_fmr})"))
    facts += [(f"model {model.role}", model.sha256.hex()) for model in request.models]
    if decision is not None:
        facts.append(("decision", " ".join([decision.outcome, *decision.reasons])))
    return facts
