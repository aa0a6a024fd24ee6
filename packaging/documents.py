# ruff: noqa: INP001 - a script
"""Write what a package carries besides code: manual pages, completions, the journal's catalogue.

Everything is generated from the program itself, so that it cannot say something else.
"""

import inspect
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from agent import __version__
from agent.cli.main import COMMANDS, renzheng
from agent.failures import catalogue
from agent.health.catalog import catalog

#: What click puts before a paragraph that is not to be filled.
AS_IT_IS = "\b\n"
COMPLETIONS = {"renzheng": BashComplete, "_renzheng": ZshComplete, "renzheng.fish": FishComplete}


def main(output: Path) -> None:
    """Write all into the folder `output`."""
    for folder in ("man", "completion"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    for name, shell in COMPLETIONS.items():
        source = shell(renzheng, {}, "renzheng", "_RENZHENG_COMPLETE").source()
        (output / "completion" / name).write_text(source, "utf-8")
    (output / "man/renzheng.1").write_text(overview(), "utf-8")
    for name in COMMANDS:
        if (command := available(name)) is not None:
            (output / f"man/renzheng-{name}.1").write_text(page(command, f"renzheng {name}"), "utf-8")
    (output / "man/renzheng-failures.7").write_text(failures(), "utf-8")
    (output / "renzheng.catalog").write_text(catalog(), "utf-8")


def available(name: str) -> click.Command | None:
    """The command, or None for one that is not part of the package (the demo needs the issuer)."""
    try:
        return renzheng.get_command(click.Context(renzheng), name)
    except ImportError:
        return None


def overview() -> str:
    """renzheng(1)."""
    rows = "".join(f".TP\n.B {escape(name)}\n{escape(text)}\n" for name, (_m, _a, text) in COMMANDS.items())
    return (
        head("renzheng", 1, "identity terminal")
        + f".SH SYNOPSIS\n.B renzheng\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\n{paragraphs(renzheng)}"
        + f".SH COMMANDS\n{rows}.SH FILES\n.TP\n.I /etc/renzheng/renzheng.toml\nThe settings.\n"
        + ".TP\n.I /var/lib/renzheng\nDurable state; small, and without anything personal.\n"
        + ".SH SEE ALSO\n.BR renzheng-failures (7),\n.BR systemctl (1),\n.BR journalctl (1)\n"
    )


def page(command: click.Command, name: str) -> str:
    """The page of one command, its sub-commands included."""
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    text = head(name.replace(" ", "-"), 1, command.get_short_help_str(200))
    text += f".SH SYNOPSIS\n.B {escape(name)}\n{escape(usage)}\n.SH DESCRIPTION\n{paragraphs(command)}"
    text += options(command, context, ".SH OPTIONS\n")
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            child = command.get_command(context, sub)
            if child is not None:
                inner = click.Context(child, info_name=f"{name} {sub}", parent=context)
                pieces = escape(" ".join(child.collect_usage_pieces(inner)))
                text += f".SH {escape(f'{name} {sub}').upper()}\n.B {escape(f'{name} {sub}')}\n{pieces}\n"
                text += f"{paragraphs(child)}{options(child, inner, '')}"
    return text + ".SH SEE ALSO\n.BR renzheng (1)\n"


def options(command: click.Command, context: click.Context, title: str) -> str:
    """The options as tagged paragraphs."""
    records = [record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))]
    rows = "".join(f".TP\n.B {escape(names)}\n{escape(text)}\n" for names, text in records)
    return title + rows if rows else ""


def failures() -> str:
    """renzheng-failures(7): every code with its cause and remedy."""
    rows = "".join(
        f".SS {f.number} {escape(f.code)}\n{escape(f.cause)}\n.PP\n{escape(f.remedy)}\n"
        for f in sorted(catalogue().values(), key=lambda failure: failure.number)
    )
    return head("renzheng-failures", 7, "failure codes with cause and remedy") + f".SH CODES\n{rows}"


def head(name: str, section: int, summary: str) -> str:
    """Title and name."""
    today = datetime.now(UTC).date().isoformat()
    return (
        f'.TH {name.upper()} {section} {today} "renzheng {__version__}"\n'
        f".SH NAME\n{escape(name)} \\- {escape(summary.rstrip('.'))}\n"
    )


def paragraphs(command: click.Command) -> str:
    """The command's help. click marks a paragraph whose lines stay as they are by a line with a backspace."""
    return "".join(map(paragraph, inspect.cleandoc(command.help or "").split("\n\n")))


def paragraph(text: str) -> str:
    """One paragraph, filled or line by line."""
    if text.startswith(AS_IT_IS):
        lines = "\n".join(escape(line) for line in text.removeprefix(AS_IT_IS).splitlines())
        return f".PP\n.nf\n{lines}\n.fi\n"
    return f".PP\n{escape(' '.join(text.split()))}\n"


def escape(text: str) -> str:
    """`text` as roff wants it."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


if __name__ == "__main__":
    main(Path(sys.argv[1]))
