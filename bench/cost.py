"""What files cost, beside two other ways: regenerates docs/cost.md, or says it of files of your own.

    python -m bench.cost                            from the prices in the library and bench/assumptions.json
    python -m bench.cost --take measured            first take over what the last full `make bench` has measured
    python -m bench.cost --files 100000 --mib 20    what that many files of that size cost; more options with --help

Prices and assumptions are inputs; nothing here knows a price or a duration.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.plan import ROOT

_HERE = ROOT / "bench"
# The receipts of files go by them, too.
PRICES = ROOT / "layers/scoring/scoring/outcome/prices.json"
ASSUMPTIONS, TEMPLATE = _HERE / "assumptions.json", _HERE / "cost.template.md"
MEASURED = _HERE / "measured.json"
TARGET = ROOT / "docs/cost.md"

# Lambda quotas (AWS Lambda Developer Guide): seconds of one invocation, MB of memory, MB of /tmp.
LAMBDA_SECONDS, LAMBDA_MB, LAMBDA_DISK_MB = 900, 10_240, 10_240
# What the functions do (statemachine/, layers/scoring): time kept for closing down, a watch of the pod, a part.
RESERVE_SECONDS, WATCH_SECONDS, WAIT_SECONDS, PART_MIB, PARTS_OF_A_RECORD = 20, 50, 15, 6, 6
# What boto3 takes for the others (TransferConfig's multipart_chunksize).
OTHERS_PART_MIB = 8
# One more round of waiting: its Wait, the Task again, the Choice behind it.
TRANSITIONS_OF_A_ROUND = 3


@dataclass(frozen=True)
class Bill:
    """What one file uses, in the units that are billed."""

    transitions: int = 0
    gb_seconds: float = 0.0
    invocations: int = 0
    writes: int = 0
    reads: int = 0
    node_seconds: float = 0.0
    transform_seconds: float = 0.0

    def usd(self, prices: Mapping[str, float]) -> dict[str, float]:
        """Give the dollars of each part."""
        return {
            "states": self.transitions * prices["state_transition"],
            "lambda": self.gb_seconds * prices["lambda_gb_second"] + self.invocations * prices["lambda_request"],
            "s3": self.writes * prices["s3_write"] + self.reads * prices["s3_read"],
            "compute": self.node_seconds / 3600 * prices["node_hour"]
            + self.transform_seconds / 3600 * prices["transform_hour"],
        }


@dataclass(frozen=True)
class Case:
    """A size of file, and what is assumed about everything else."""

    mib: float
    given: Mapping[str, Any]
    measured: Mapping[str, Any]

    @property
    def megabytes(self) -> float:
        return self.mib * 1.048576

    def parts(self, mib: int) -> int:
        """Parts of so many MiB of the scored file."""
        return max(1, math.ceil(self.mib * float(self.given["output_to_input"]) / mib))

    @property
    def scoring_seconds(self) -> float:
        """As long as the slowest takes: the model, the network, or the engine."""
        speeds = (self.given["model_mb_per_second"], self.given["network_mb_per_second"])
        return self.megabytes / float(min(*speeds, self.measured["engine_mb_per_second"]))

    @property
    def output_mib(self) -> float:
        return self.mib * float(self.given["output_to_input"])

    @property
    def pod_seconds(self) -> float:
        return float(self.given["model_start_seconds"] + self.scoring_seconds)


def dropscore(case: Case) -> Bill:
    """Functions that work are paid for, a pod that starts for longer than one watch is waited for by a Wait state."""
    memory, seconds = case.given["lambda_mb"], case.measured["seconds"]
    start = case.given["model_start_seconds"]
    waits = int(start // (WATCH_SECONDS + WAIT_SECONDS))
    streams = math.ceil(case.scoring_seconds / (LAMBDA_SECONDS - RESERVE_SECONDS))
    calls = dict.fromkeys(seconds, 1) | {"await_pod": waits, "stream_file": streams}
    # A further look is at most as much work as the first, which launches as well.
    own = {"await_pod": seconds["launch_pod"], **seconds}
    busy = {name: own[name] * calls[name] for name in calls}
    watched = start - waits * WAIT_SECONDS
    first = min(watched, WATCH_SECONDS) if waits else watched
    busy["launch_pod"] += first
    busy["await_pod"] += watched - first
    busy["stream_file"] += case.scoring_seconds
    return Bill(
        transitions=case.measured["transitions"] + TRANSITIONS_OF_A_ROUND * (waits + streams - 1),
        gb_seconds=sum(busy[name] * memory[name] / 1024 for name in busy),
        invocations=sum(calls.values()),
        # Begin, list, complete, tag, the first record of progress, those of the event and of the end, and twice a look at who waits for
        # room; then parts, and the progress when so much is done.
        writes=9 + case.parts(PART_MIB) + math.floor(case.output_mib / PART_MIB / PARTS_OF_A_RECORD),
        # Tags of the file and of what is there already, its checksum and its beginning, the record of the event; for each stream the progress,
        # the file, and again its header. (Only who waits for the one GET makes more of them, and none waits here: the
        # model, or the function's network, is slower.)
        reads=6 + 3 * streams - 1,
        node_seconds=case.pod_seconds * case.given["pod_share_of_node"],
    )


def ignored(given: Mapping[str, Any], measured: Mapping[str, Any]) -> Bill:
    """An object that start_scoring is told of and leaves alone."""
    seconds, memory = measured["seconds"]["start_scoring"], given["lambda_mb"]["start_scoring"]
    return Bill(gb_seconds=seconds * memory / 1024, invocations=1)


def waiting_lambda(case: Case) -> Bill | str:
    """One function that launches the pod, waits for it, downloads, sends, waits, uploads; or why it cannot."""
    seconds = case.pod_seconds + case.measured["waiting_overhead_seconds"]
    needed = case.given["waiting_lambda_base_mb"] + case.given["waiting_lambda_copies_in_memory"] * case.megabytes
    on_disk = (1 + case.given["output_to_input"]) * case.megabytes
    if seconds > LAMBDA_SECONDS:
        return f"not possible: {seconds:.0f} s, of {LAMBDA_SECONDS}"
    if needed > LAMBDA_MB or on_disk > LAMBDA_DISK_MB:
        return f"not possible: {needed / 1024:.0f} GB of memory and {on_disk / 1024:.0f} GB of disk, of 10 each"
    return Bill(
        gb_seconds=seconds * needed / 1024,
        invocations=1,
        writes=2 + case.parts(OTHERS_PART_MIB),
        reads=1 + math.ceil(case.mib / OTHERS_PART_MIB),
        node_seconds=(case.pod_seconds + case.measured["waiting_overhead_seconds"]) * case.given["pod_share_of_node"],
    )


def transform(case: Case, files_a_job: int) -> Bill:
    """A SageMaker batch transform job on one instance; a file's share of a job for `files_a_job`."""
    start = case.given["transform_start_seconds"] / files_a_job
    return Bill(
        writes=2 + case.parts(OTHERS_PART_MIB),
        reads=1 + math.ceil(case.mib / OTHERS_PART_MIB),
        transform_seconds=start + case.megabytes / case.given["model_mb_per_second"],
    )


@dataclass(frozen=True)
class Inputs:
    """The two files."""

    prices: Mapping[str, Any]
    assumptions: Mapping[str, Any]

    @property
    def usd(self) -> dict[str, float]:
        """Dollars for one unit of each."""
        return {name: price["usd"] / price["per"] for name, price in self.prices["prices"].items()}

    def cases(self) -> list[Case]:
        given, measured = self.assumptions["given"], self.assumptions["measured"]
        return [Case(mib, given, measured) for mib in given["sizes_mib"]]


def table(inputs: Inputs) -> str:
    """The costs of all files for each size and way, as Markdown."""
    files = inputs.assumptions["given"]["files"]
    lines = [
        "| file | way | state transitions | Lambda | S3 requests | pod or instance | together |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for case in inputs.cases():
        size = f"{case.mib / 1024:g} GiB" if case.mib >= 1024 else f"{case.mib:g} MiB"
        ways: dict[str, Bill | str] = {
            "**dropscore**": dropscore(case),
            "one waiting Lambda a file": waiting_lambda(case),
            "a batch transform job a file": transform(case, 1),
            f"one batch transform job for all {files:,}": transform(case, files),
        }
        for way, bill in ways.items():
            if isinstance(bill, str):
                lines.append(f"| {size} | {way} | | | | | {bill} |")
                continue
            usd = {name: value * files for name, value in bill.usd(inputs.usd).items()}
            cells = " | ".join(dollars(usd[name]) for name in ("states", "lambda", "s3", "compute"))
            lines.append(f"| {size} | {way} | {cells} | {dollars(sum(usd.values()))} |")
    return "\n".join(lines)


def dollars(usd: float) -> str:
    return f"${usd:,.2f}" if usd else "–"


def page(inputs: Inputs) -> str:
    """The whole of docs/cost.md."""
    prices, given, measured = inputs.prices, inputs.assumptions["given"], inputs.assumptions["measured"]
    listed = "\n".join(
        f"| {price['unit']} | ${price['usd']:.10f}".rstrip("0") + f" per {price['per']:,} | <{price['source']}> |"
        for price in prices["prices"].values()
    )
    seconds = ", ".join(f"{name} {value:.2f}" for name, value in measured["seconds"].items())
    return TEMPLATE.read_text().format(
        table=table(inputs),
        ignored=dollars(sum(ignored(given, measured).usd(inputs.usd).values()) * 1_000_000),
        prices=listed,
        date=prices["date"],
        region=prices["region"],
        seconds=seconds,
        given=given,
        measured=measured,
    )


# Of the assumptions, what a reader knows better: its name here, its option, what it takes, what it is.
OPTIONS: dict[str, tuple[str, type, str]] = {
    "files": ("--files", int, "how many"),
    "sizes_mib": ("--mib", float, "MiB of each"),
    "model_start_seconds": ("--start", float, "seconds until the model is ready"),
    "model_mb_per_second": ("--speed", float, "MB/s that the model scores"),
    "output_to_input": ("--output", float, "size of the scored file, the dropped one being 1"),
    "pod_share_of_node": ("--share", float, "what a pod takes of a node (an m5.large), from 0 to 1"),
}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--take", choices=["measured"], help="take over bench/measured.json")
    for name, (option, kind, means) in OPTIONS.items():
        parser.add_argument(option, dest=name, type=_positive(kind), metavar="N", help=means)
    return parser.parse_args(arguments)


def _positive(kind: type) -> Callable[[str], Any]:
    def value(text: str) -> Any:
        number = kind(text)
        if not 0 < number < math.inf:
            raise ValueError
        return number

    value.__name__ = f"positive {kind.__name__}"
    return value


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(arguments)
    assumptions = json.loads(ASSUMPTIONS.read_text())
    if options.take:
        assumptions["measured"] = json.loads(MEASURED.read_text())
        ASSUMPTIONS.write_text(json.dumps(assumptions, indent=2) + "\n")
    prices = json.loads(PRICES.read_text())
    asked = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    if not asked:
        TARGET.write_text(page(Inputs(prices, assumptions)))
        return
    if "sizes_mib" in asked:
        asked["sizes_mib"] = [asked["sizes_mib"]]
    assumptions["given"] |= asked
    inputs = Inputs(prices, assumptions)
    print(f"{inputs.assumptions['given']['files']:,} files, US dollars ({prices['date']}, {prices['region']}):\n")
    print(table(inputs))
    print("\nWhat is in it, and what is assumed unless you say otherwise: docs/cost.md.")


if __name__ == "__main__":
    main()
