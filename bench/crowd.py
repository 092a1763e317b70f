"""One million files a day, and 100,000 at once: simulates both and regenerates docs/scale.md (`make crowd`).

    python -m bench.crowd                    simulate (some minutes), write bench/crowd.json and the page
    python -m bench.crowd --page             only write the page, from bench/crowd.json

Quotas, durations and prices are inputs: bench/quotas.json, bench/assumptions.json, and prices.json in the library.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from bench import cost, scenarios
from bench.plan import ROOT
from bench.quotas import EXECUTIONS_OF_A_FILE, QUOTAS, Durations, Inputs, ceilings, waiting_bill
from bench.simulation import FULL, MOST_RETRIES

RESULTS, TEMPLATE, TARGET = ROOT / "bench/crowd.json", ROOT / "bench/scale.template.md", ROOT / "docs/scale.md"

Found = Mapping[str, Any]

_CROWDS = {
    "day": "a million a day, evenly",
    "busy": f"{scenarios.BUSY} times as many, for a while",
    "once": "100,000 at once, until they are started",
    "reserved": "the same, reserved concurrency for start_scoring",
    "called": "the same to their end",
}
_QUEUES = {
    "calls": "**as it is**: files that are called by a tear_down",
    "retries": "as it was: retries by chance",
    "gates": "gated pods (Kueue, or gates of our own), looked after by their age",
    "gates_paced": "gated pods (Kueue), looked after by their place",
    "estimates": "launch_pod answers how long to wait, by the place",
}


def crowds(results: Mapping[str, Found]) -> str:
    """What becomes of each crowd."""
    lines = [
        "| crowd | pods | not started | started after | waited for room, p50 / p99 | drop to `.scoreout`, p50 / p99 | files/s | most Lambdas | refused by |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    plans = scenarios.plans(Inputs.read())
    for name, said in _CROWDS.items():
        found, scenario = results[name], plans[name].scenario
        spans = [f"{_span(found[kind]['p50'])} / {_span(found[kind]['p99'])}" for kind in ("room", "total")]
        rest = ["–"] * 4
        if not scenario.only_starts:
            rest = [f"{scenario.pods:,}", *spans, f"{found['done'] / found['end']:.1f}"]
        pods, waited, total, rate = rest
        refused = ", ".join(f"{_QUOTA_NAMES[quota]} {count:,}" for quota, count in found["throttled"].items()) or "none"
        lines.append(
            f"| {said} | {pods} | {found['lost']:,} | {_span(found['last_started'])} | {waited} | {total} | {rate} "
            f"| {found['most_lambdas']:,} | {refused} |"
        )
    return "\n".join(lines)


_QUOTA_NAMES = {
    "start_execution_per_second": "StartExecution",
    "lambda_concurrency": "Lambda's concurrency",
    "lambda_scaling": "Lambda's scaling",
    "transitions_per_second": "state transitions",
}


def queues(results: Mapping[str, Found], kind: str, inputs: Inputs) -> str:
    """How files fare in each queue."""
    lines = [
        "| files wait by | all done after | waited, p50 / p99 / most | to FCFS, p99 / most | late | calls, mean / p99 | USD |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, said in _QUEUES.items():
        found = results[f"{kind}_{name}"]
        room, stretch, retries = found["room"], found["stretch"], found["retries"]
        lines.append(
            f"| {said} | {_span(found['end'])} | {_span(room['p50'])} / {_span(room['p99'])} / {_span(room['max'])} "
            f"| {stretch['p99']:.2f}x / {stretch['max']:.2f}x | {found['late']:.1%} "
            f"| {retries['mean']:.1f} / {retries['p99']:.0f} | {cost.dollars(waiting_usd(found, inputs))} |"
        )
    return "\n".join(lines)


def waiting_usd(found: Found, inputs: Inputs) -> float:
    """Dollars that waiting costs 1,000 files of a crowd, idle pods included."""
    share = 1_000 * found["waited"] / found["files"]
    calls, transitions, writes = found["retries"]["mean"], found["transitions"], found["writes"]
    bill = waiting_bill(share * transitions, share * calls, share * writes, 1_000 * found["idle"], inputs)
    return sum(bill.usd(inputs.costs.usd).values())


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def limits(inputs: Inputs) -> str:
    """Each quota as files a second, the least first."""
    lines = ["| quota | | files a second | files a day | raised |", "|---|---:|---:|---:|---|"]
    for name, rate in sorted(ceilings(inputs).items(), key=lambda item: item[1]):
        quota = inputs.document["quotas"][name]
        lines.append(
            f"| {quota['what']} | {quota['value']:,} | {rate:,.1f} | {rate * 86_400:,.0f} | {quota['raised']} |"
        )
    return "\n".join(lines)


def figures(results: Mapping[str, Found], inputs: Inputs) -> dict[str, Any]:
    """What the template's sentences say."""
    durations, quotas, given = Durations.of(inputs), inputs.quotas, inputs.given
    hold = durations.hold(durations.start, durations.scoring)
    rate, capacity = scenarios.DAY_FILES / 86_400, quotas["namespace_pods"] / hold
    pods = rate * hold
    all_seconds = scenarios.CROWD_FILES / capacity
    most_waited = MOST_RETRIES * FULL.most / 2
    bill = cost.dropscore(inputs.case)
    usd = sum(bill.usd(inputs.costs.usd).values()) * 1_000
    crowd_retries = FULL.retries(all_seconds / 2)
    refused = scenarios.WAITING_FILES / (FULL.most / 2)
    return {
        "hold": hold,
        "capacity": capacity,
        "capacity_day": capacity * 86_400,
        "rate": rate,
        "pods": pods,
        "nodes": pods / given["pods_a_node"],
        "vcpus": pods / given["pods_a_node"] * given["vcpus_a_node"],
        "lambdas": rate * durations.functions_seconds,
        "lambda_seconds": durations.functions_seconds,
        "lambda_rate": quotas["lambda_concurrency"] / durations.functions_seconds,
        "watched": durations.start / durations.functions_seconds,
        "day_usd": usd * scenarios.DAY_FILES / 1_000,
        "transitions": bill.transitions,
        "all_hours": all_seconds / 3_600,
        "crowd_retries": crowd_retries,
        "crowd_usd": sum(waiting_bill(crowd_retries, crowd_retries, 0, 0, inputs).usd(inputs.costs.usd).values())
        * scenarios.CROWD_FILES,
        "most_retries": MOST_RETRIES,
        "most_hours": most_waited / 3_600,
        "most_files": most_waited * capacity,
        "refused": refused,
        "overload": scenarios.OVERLOAD - 1,
        "overload_hours": scenarios.OVERLOAD_SECONDS / 3_600,
        "start_concurrency": scenarios.START_CONCURRENCY,
        "open_files": round(quotas["open_executions"] / EXECUTIONS_OF_A_FILE),
        "quota_puts": round(quotas["s3_puts_per_second"]),
        "day_pods": scenarios.DAY_PODS,
        "busy_pods": scenarios.BUSY_PODS,
        "crowd_pods": scenarios.CROWD_PODS,
        "stream": durations.scoring,
        "found": results,
        "waiting_usd": {name: waiting_usd(found, inputs) for name, found in results.items()},
    }


def page(document: Mapping[str, Any], inputs: Inputs) -> str:
    """The whole of docs/scale.md; `document` is bench/crowd.json."""
    results = document["scenarios"]
    listed = "\n".join(
        f"| {quota['what']} | {quota['value']:,} | {quota['raised']} | {_link(quota['source'])} |"
        for quota in inputs.document["quotas"].values()
    )
    measured = inputs.case.measured
    return TEMPLATE.read_text().format(
        crowds=crowds(results),
        drop=queues(results, "drop", inputs),
        overload_table=queues(results, "overload", inputs),
        limits=limits(inputs),
        quotas=listed,
        date=inputs.document["date"],
        region=inputs.document["region"],
        given=inputs.given,
        assumed=inputs.case.given,
        measured=measured,
        seconds=", ".join(f"{name} {value:.2f}" for name, value in measured["seconds"].items()),
        **figures(results, inputs),
    )


def _link(source: str) -> str:
    return f"<{source}>" if source.startswith("https://") else f"[{source.removeprefix('../')}]({source})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description=__doc__)
    parser.add_argument("--page", action="store_true", help="only write the page, from what was simulated last")
    options = parser.parse_args()
    inputs = Inputs.read()
    if not options.page:
        results = {}
        for name, plan in scenarios.plans(inputs).items():
            began = time.process_time()
            results[name] = scenarios.run(plan, inputs)
            print(f"  {name:<22}{results[name]['files']:>9,} files {time.process_time() - began:6.1f} s", flush=True)
        RESULTS.write_text(json.dumps({"digest": scenarios.digest(inputs), "scenarios": results}, indent=1) + "\n")
    TARGET.write_text(page(json.loads(RESULTS.read_text()), inputs))
    print(f"{TARGET} from {RESULTS.name}, {QUOTAS.name}")


if __name__ == "__main__":
    main()
