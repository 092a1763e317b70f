"""The arithmetic of docs/cost.md, by hand; and that the page is what the script makes of its inputs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bench import cost
from bench.cost import Bill, Case
from scoring.files import objects
from scoring.streaming import uploads
from tests.builders import template

PRICES = {
    "state_transition": 0.000025,
    "lambda_gb_second": 0.00001,
    "lambda_request": 0.0000002,
    "s3_write": 0.000005,
    "s3_read": 0.0000004,
    "node_hour": 0.1,
    "transform_hour": 0.2,
}
GIVEN: dict[str, Any] = {
    "files": 1_000,
    "sizes_mib": [1],
    "model_start_seconds": 30,
    "model_mb_per_second": 10.48576,  # 10 MiB
    "network_mb_per_second": 70,
    "output_to_input": 1.5,
    "pod_share_of_node": 0.25,
    "lambda_mb": {"launch_pod": 512, "await_pod": 512, "stream_file": 2048},
    "waiting_lambda_base_mb": 256,
    "waiting_lambda_copies_in_memory": 2,
    "transform_start_seconds": 100,
}
MEASURED: dict[str, Any] = {
    "transitions": 17,
    "seconds": {"launch_pod": 0.5, "stream_file": 0.25},
    "engine_mb_per_second": 250,
    "waiting_overhead_seconds": 14,
}
CASE = Case(100, GIVEN, MEASURED)  # 10 s of scoring


def given(**changes: Any) -> Case:
    return replace(CASE, given=GIVEN | changes)


def test_a_bill_is_units_by_prices() -> None:
    bill = Bill(17, 100.0, 8, 20, 4, 7_200, 1_800)
    assert bill.usd(PRICES) == pytest.approx(
        {"states": 0.000425, "lambda": 0.001 + 0.0000016, "s3": 0.0001 + 0.0000016, "compute": 0.2 + 0.1}
    )


def test_the_slowest_sets_the_pace() -> None:
    assert CASE.scoring_seconds == pytest.approx(10)
    assert given(model_mb_per_second=1_000).scoring_seconds == pytest.approx(104.8576 / 70)


def test_dropscore_pays_for_functions_at_work_and_for_its_pod() -> None:
    bill = cost.dropscore(CASE)
    assert bill.transitions == 17
    assert bill.gb_seconds == pytest.approx((0.5 + 30) / 2 + (0.25 + 10) * 2)
    assert bill.invocations == 1 + 1
    assert cost.PART_MIB << 20 == objects._PART_BYTES
    assert cost.PARTS_OF_A_RECORD == uploads._PARTS_OF_A_RECORD
    assert bill.writes == 9 + 25 + 4  # 150 MiB in parts of 6; a record of progress for each 36
    assert bill.reads == 6 + 2
    assert bill.node_seconds == pytest.approx((30 + 10) / 4)


def test_a_long_start_is_waited_for_by_the_state_machine() -> None:
    bill = cost.dropscore(given(model_start_seconds=200))
    assert bill.transitions == 17 + 3 * 3
    # Three times 15 s of Wait are free.
    assert bill.gb_seconds == pytest.approx((4 * 0.5 + 200 - 45) / 2 + (0.25 + 10) * 2)


def test_a_long_file_takes_one_invocation_after_the_other() -> None:
    bill = cost.dropscore(replace(CASE, mib=10_000))  # 1,000 s
    assert bill.transitions == 17 + 3
    assert bill.invocations == 1 + 2
    assert bill.reads == 6 + 5


def test_an_ignored_object_pays_for_one_short_call() -> None:
    given, measured = GIVEN | {"lambda_mb": {"start_scoring": 256}}, {"seconds": {"start_scoring": 0.5}}
    bill = cost.ignored(given, measured)
    assert bill == Bill(gb_seconds=0.5 / 4, invocations=1)
    assert sum(bill.usd(PRICES).values()) == pytest.approx(0.00000125 + 0.0000002)


def test_the_memory_that_is_paid_for_is_the_memory_that_the_template_gives() -> None:
    everywhere = template()["Globals"]["Function"]["MemorySize"]
    given = json.loads(cost.ASSUMPTIONS.read_text())["given"]["lambda_mb"]
    functions = {name: template()["Resources"][name.title().replace("_", "")]["Properties"] for name in given}
    assert given == {name: found.get("MemorySize", everywhere) for name, found in functions.items()}


def test_a_waiting_lambda_pays_for_every_second_with_the_file_in_its_memory() -> None:
    bill = cost.waiting_lambda(CASE)
    assert isinstance(bill, Bill)
    assert bill.gb_seconds == pytest.approx((30 + 10 + 14) * (256 + 2 * 104.8576) / 1024)


@pytest.mark.parametrize(
    ("mib", "reason"), [(10_240, "not possible: 1068 s"), (5_000, "not possible: 10 GB of memory")]
)
def test_a_waiting_lambda_has_limits(mib: float, reason: str) -> None:
    bill = cost.waiting_lambda(replace(CASE, mib=mib))
    assert isinstance(bill, str)
    assert bill.startswith(reason)


def test_the_start_of_a_transform_job_is_shared_by_its_files() -> None:
    assert cost.transform(CASE, 1).transform_seconds == pytest.approx(100 + 10)
    assert cost.transform(CASE, 50).transform_seconds == pytest.approx(2 + 10)


def test_the_page_is_what_the_script_makes_of_its_inputs() -> None:
    inputs = cost.Inputs(json.loads(cost.PRICES.read_text()), json.loads(cost.ASSUMPTIONS.read_text()))
    assert cost.TARGET.read_text() == cost.page(inputs)


def test_each_price_has_a_public_source() -> None:
    prices = json.loads(cost.PRICES.read_text())
    assert prices["date"]
    assert all(price["source"].startswith("https://aws.amazon.com/") for price in prices["prices"].values())


def test_the_calculator_tells_of_files_of_ones_own_and_leaves_the_page_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = cost.TARGET.read_text()
    cost.main(["--files", "1000", "--mib", "1"])
    told = capsys.readouterr().out
    # The page's own numbers, since these are its files.
    assert [line for line in told.splitlines() if "**dropscore**" in line] == [
        line for line in before.splitlines() if line.startswith("| 1 MiB | **dropscore**")
    ]
    cost.main(["--files", "100000", "--mib", "1", "--start", "60"])
    assert "100,000 files" in capsys.readouterr().out
    assert cost.TARGET.read_text() == before


@pytest.mark.parametrize("arguments", [["--files", "0"], ["--mib", "-1"], ["--speed", "inf"], ["--share", "much"]])
def test_the_calculator_takes_no_nonsense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cost.main(arguments)
    assert ended.value.code == 2
