"""Drop files in the embedded stack's folder and show what becomes of them: `make demo`.

Without a file, a sample for each example model; with a folder that has a Dockerfile, by the model that is built from it. Exit codes: 0 scored, 3 an `.error` came back, 2 wrong use, 1 the stack
is broken.
"""

import argparse
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.markup import escape

from dropscore import score as scoring_drops
from dropscore.dropping import Drop, drops_of, tags_of
from dropscore.output import BROKEN, worst
from dropscore.stack import Stack as Deployed
from dropscore.stack import Unusable
from local import account, model, parts, sam
from local.foreign import Foreign
from local.processes import StackFailed
from local.stack import INTERRUPTED, Stack, check, down, status, up

_LOOK_SECONDS = 0.2  # nobody is billed for a look here

console = Console(highlight=False)


@dataclass(frozen=True)
class _Sample:
    """A file and its tags as S3 writes them (`a=b&c=d`), and another name for it where its own tells little."""

    path: Path
    tags: str
    name: str = ""


def samples(stack: Stack) -> list[_Sample]:
    """Give each example model's sample; the name of its folder starts with the protocol it speaks."""
    return [
        _Sample(
            folder / "sample.csv",
            f"model_image={stack.images[name]}&protocol={name.partition('-')[0]}",
            f"{name}.csv",
        )
        for name, folder in parts.model_folders().items()
    ]


def sample_of(stack: Stack, options: argparse.Namespace) -> _Sample:
    """Give the file that is named, with its tags; with a model of yours, once that is built."""
    if not options.model:
        return _Sample(options.file, options.tags)
    image = model.publish(stack, options.model, lambda line: console.print(escape(line), soft_wrap=True))
    # What the container answers tells its protocol, unless the tags do.
    known = dict(parse_qsl(options.tags, keep_blank_values=True))
    return _Sample(options.file, urlencode({"model_image": image, "protocol": "auto", **known}, safe="/:,. "))


def score(stack: Stack, deployed: Deployed, sample: _Sample, out: Path) -> int:
    """Drop a file, follow it to its end, fetch and show what came back; give the exit code."""
    tags = tags_of(f"{name}={value}" for name, value in parse_qsl(sample.tags, keep_blank_values=True))
    drop = drops_of(deployed, [sample.path], "", tags)[0] if not sample.name else Drop(sample.path, sample.name, tags)
    console.print(f"\n[bold]{escape(drop.name)}[/]  [dim]{escape(sample.tags)}[/]", soft_wrap=True)
    return scoring_drops.score(
        deployed, [drop], out, steps=True, look_seconds=_LOOK_SECONDS, check=lambda: check(stack)
    )


def what_ended(stack: Stack | None) -> StackFailed | None:
    """Tell which part of the stack is gone, if one is: what failed then is only who called it."""
    try:
        if stack:
            check(stack)
    except StackFailed as ended:
        return ended
    return None


def parse_options() -> argparse.Namespace:
    """Read the command line, and refuse what cannot be dropped."""
    parser = argparse.ArgumentParser(
        prog="make demo",
        usage="make demo [MODEL=folder] [FILE=… [TAGS='name=value&…']] [OUT=folder]",
        description=__doc__,
    )
    parser.add_argument("--model", type=Path, help="a folder with a Dockerfile: a model of your own")
    parser.add_argument("--file", type=Path, help="a file of your own (default: each example model's sample)")
    parser.add_argument("--tags", default="", help="its tags, as S3 writes them: model_image=…&protocol=…")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where results are put (default: %(default)s)")
    options = parser.parse_args()
    if options.model and not (options.model / "Dockerfile").is_file():
        parser.error(f"{options.model} is no folder with a Dockerfile.")
    if options.model and not options.file:
        options.file = options.model / "sample.csv"
        if not options.file.is_file():
            parser.error(f"Name a FILE that the model of {options.model} is to score (there is no {options.file}).")
    if options.file and not options.file.is_file():
        parser.error(f"There is no file {options.file}.")
    if options.file and options.file.name.startswith(("_", ".")):
        parser.error(f"{options.file}: names that begin with _ or . are ignored (the parameter IgnoredFiles).")
    if options.tags and not options.file:
        parser.error("TAGS are the tags of a FILE: name that too.")
    try:
        parse_qsl(options.tags, strict_parsing=bool(options.tags), keep_blank_values=True)
    except ValueError:
        parser.error(f"TAGS must be name=value pairs with & between them, not {options.tags!r}.")
    if options.model and "model_image" in dict(parse_qsl(options.tags, keep_blank_values=True)):
        parser.error("MODEL says what the tag model_image would: name one of them.")
    return options


def main() -> int:
    """Run the demo; give the exit code."""
    options = parse_options()
    was_up = status() is not None
    stack = None
    # Whatever ends this ends the stack as Ctrl-C does: in a cluster of yours, a namespace would be left.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        stack = up(foreign=Foreign.asked(), report=console.print)
        dropped = [sample_of(stack, options)] if options.file else samples(stack)
        deployed = Deployed.find(sam.STACK_NAME, account.session(), stack.endpoint_url)
        return worst(score(stack, deployed, each, options.out) for each in dropped)
    except (StackFailed, Unusable, ClientError, BotoCoreError) as failure:
        console.print(f"[red]✗[/] {escape(str(what_ended(stack) or failure))}", soft_wrap=True)
        return BROKEN
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return INTERRUPTED
    finally:
        if not was_up:
            _end()


def _end() -> None:
    try:
        down()
        console.print("\n[dim]The stack is down again; `make up` keeps one.[/]")
    except StackFailed as failure:
        console.print(f"[red]✗[/] {escape(str(failure))}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
