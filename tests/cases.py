"""What each file of tests/cases must get: its tags, the protocol, the outcome.

`echo` is a model that answers, for each record, how many columns it saw, as Python's `csv` reads them; `shows` answers what
it saw; `adds` answers the sum of the columns, and 400 to a batch in which one is no number.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FILES = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """One drop. `scored` is the `.scoreout`; or `error` and words of the `.error`; `tags_out` are of the outcome's tags."""

    file: str
    protocol: str = "sagemaker"
    tags: Mapping[str, str] = field(default_factory=dict)
    model: str = "echo"
    scored: bytes = b""
    error: str = ""
    summary: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    rejected: bytes = b""
    tags_out: Mapping[str, str] = field(default_factory=dict)
    is_refused_early: bool = False
    """Whether no pod is launched."""

    @property
    def name(self) -> str:
        tags = "".join(f" {name}={value}" for name, value in self.tags.items())
        return f"{self.file} {self.protocol} {self.model}{tags}".replace("/", "_")

    @property
    def body(self) -> bytes:
        return (FILES / self.file).read_bytes()


def each(file: str, protocols: str, scored: bytes, **more: object) -> list[Case]:
    return [Case(file, protocol, scored=scored, **more) for protocol in protocols.split()]  # type: ignore[arg-type]


def refused(file: str, summary: tuple[str, ...], remedy: tuple[str, ...] = (), **more: object) -> Case:
    return Case(file, error="InvalidFile", summary=summary, remedy=remedy, is_refused_early=True, **more)  # type: ignore[arg-type]


def with_prediction(rows: bytes) -> bytes:
    """A plain file as `echo` scores it."""
    header, *records = rows.splitlines()
    columns = b",%d" % (header.count(b",") + 1)
    return b"\n".join([header + b",prediction", *(record + columns for record in records)]) + b"\n"


def shown(header: bytes, *records: tuple[bytes, list[str]]) -> bytes:
    """A file between commas as `shows` scores it: each record as it is written, and as the model is to read it."""
    lines = [header + b",prediction"]
    for record, fields in records:
        text = json.dumps(fields, ensure_ascii=False).encode()
        lines.append(record + b',"' + text.replace(b'"', b'""') + b'"')
    return b"\n".join(lines) + b"\n"


SPARK = b'id,text,prediction\n1,"5\\" nail",2\n2,"she said \\"no\\"",2\n3,"a, b",2\n'
INCHES = b'id,item,qty,prediction\n1,5" pipe,3,3\n2,elbow,1,3\n3,6" pipe,2,3\n4,"4"" valve",7,3\n'
QUOTED = b'id,note,prediction\n1,"two\nlines",2\n2,"a\r\nb",2\n3,"""quoted""",2\n'
CASES: list[Case] = [
    refused("headerless.csv", ("first record", "only numbers"), ("header=none", "header=first")),
    Case("headerless.csv", tags={"header": "none"}, scored=b"5.1,3.5,1.4,3\n4.9,3.0,1.4,3\n6.2,2.9,4.3,3\n"),
    Case(
        "headerless.csv",
        "mlflow",
        {"header": "none"},
        "shows",
        scored=(
            b'5.1,3.5,1.4,"{""0"": ""5.1"", ""1"": ""3.5"", ""2"": ""1.4""}"\n'
            b'4.9,3.0,1.4,"{""0"": ""4.9"", ""1"": ""3.0"", ""2"": ""1.4""}"\n'
            b'6.2,2.9,4.3,"{""0"": ""6.2"", ""1"": ""2.9"", ""2"": ""4.3""}"\n'
        ),
    ),
    Case("headerless.csv", tags={"header": "first"}, scored=b"5.1,3.5,1.4,prediction\n4.9,3.0,1.4,3\n6.2,2.9,4.3,3\n"),
    Case("pandas-range-header.csv", scored=b"0,1,2,prediction\n5.1,3.5,1.4,3\n4.9,3.0,1.4,3\n"),
    *each("inch-marks.csv", "sagemaker mlflow", INCHES),
    Case("inch-marks.csv", "sas", scored=INCHES.replace(b'5" pipe', b'"5"" pipe"').replace(b'6" pipe', b'"6"" pipe"')),
    *each("one-inch-mark.csv", "sagemaker mlflow", b'id,item,qty,prediction\n1,5" pipe,3,3\n2,elbow,1,3\n3,tee,2,3\n'),
    Case("one-inch-mark.csv", "sas", scored=b'id,item,qty,prediction\n1,"5"" pipe",3,3\n2,elbow,1,3\n3,tee,2,3\n'),
    Case("spark-escapes.csv", tags={"escape": "backslash"}, scored=SPARK),
    Case(
        "spark-escapes.csv",
        tags={"escape": "backslash"},
        model="shows",
        scored=shown(
            b"id,text",
            (b'1,"5\\" nail"', ["1", '5" nail']),
            (b'2,"she said \\"no\\""', ["2", 'she said "no"']),
            (b'3,"a, b"', ["3", "a, b"]),
        ),
    ),
    Case(
        "spark-escapes.csv",
        "sas",
        {"escape": "backslash"},
        scored=(b'id,text,prediction\n1,"5"" nail",2\n2,"she said ""no""",2\n3,"a, b",2\n'),
    ),
    refused("spark-escapes.csv", ("row 1",), ("escape=backslash", "escape=double")),
    Case("spark-escapes.csv", tags={"escape": "double"}, scored=SPARK),
    Case(
        "spark-escapes.csv",
        tags={"escape": "double"},
        model="shows",
        scored=shown(
            b"id,text",
            (b'1,"5\\" nail"', ["1", '5\\ nail"']),
            (b'2,"she said \\"no\\""', ["2", 'she said \\no\\""']),
            (b'3,"a, b"', ["3", "a, b"]),
        ),
    ),
    Case(
        "short-rows.csv",
        scored=b"a,b,c,prediction\n1,2,3,3\n4,5,,3\n6,,,3\n7,8,9,3\n",
        tags_out={"padded": "2", "rows": "4"},
    ),
    refused("long-row.csv", ("Row 2", "3 fields", "2")),
    Case(
        "long-row.csv",
        tags={"max_errors": "1"},
        scored=b"a,b,prediction\n1,2,2\n3,4,\n6,7,2\n",
        rejected=b'row,offset,reason,record\n2,8,"It has 3 fields, the header has 2.","3,4,5"\n',
        tags_out={"rejected": "1", "rows": "3"},
    ),
    Case("utf16-excel.csv", scored="name\tamount\tprediction\nZoë\t1\t2\nJürgen\t2\t2\n".encode()),
    refused("latin1.csv", ("not UTF-8", "row 1"), ("encoding=",)),
    refused("latin1.csv", ("not UTF-8", "row 1"), ("encoding=",), protocol="sas"),
    *each(
        "latin1.csv",
        "sagemaker sas",
        "name,amount,prediction\nZoë,1,2\nJürgen,2,2\n".encode(),
        tags={"encoding": "latin-1"},
    ),
    Case(
        "bom.csv",
        "mlflow",
        model="shows",
        scored=('\ufeffname,amount,prediction\nZoë,1,"{""name"": ""Zoë"", ""amount"": ""1""}"\n'.encode()),
    ),
    Case("cr-only.csv", scored=b'"A","B",prediction\r"x",3,2\r"y",6,2\r"z",5,2\r'),
    Case("cr-only.csv", "sas", scored=b"A,B,prediction\nx,3,2\ny,6,2\nz,5,2\n"),
    *each("crlf-no-last-end.csv", "sagemaker mlflow sas", b"a,b,prediction\r\n1,2,2\r\n3,4,2\r\n"),
    Case(
        "semicolon-decimal-comma.csv",
        "mlflow",
        {"decimal": "comma"},
        "shows",
        scored=(
            b'id;x;y;prediction\n1;2,5;3;"{""id"": ""1"", ""x"": ""2.5"", ""y"": ""3""}"\n'
            b'2;4,25;5;"{""id"": ""2"", ""x"": ""4.25"", ""y"": ""5""}"\n'
        ),
    ),
    Case("excel-sep-line.csv", scored=b"sep=;\nid;x;prediction\n1;2;2\n2;3;2\n"),
    Case("tab.csv", "mlflow", scored=b"id\tx\tprediction\n1\t2\t2\n2\t3\t2\n"),
    Case("one-column-with-blank.csv", "mlflow", scored=b"x,prediction\n1,1\n3,1\n"),
    Case("blank-lines-between.csv", "mlflow", scored=b"a,b,prediction\n1,2,2\n3,4,2\n"),
    Case("spaces-only-line.csv", "mlflow", scored=b"a,b,prediction\n1,2,2\n3,4,2\n"),
    Case("trailing-delimiter.csv", scored=b"a,b,,prediction\n1,2,,3\n3,4,,3\n"),
    *each("quoted-newlines.csv", "sagemaker mlflow sas", QUOTED),
    *(
        Case(
            "id-column.csv",
            tags={"exclude": exclude},
            scored=(b"customer_id,f1,f2,prediction\nC-001,1.0,2.0,2\nC-002,3.0,4.0,2\n"),
        )
        for exclude in ("customer_id", "1")
    ),
    Case(
        "id-column.csv",
        tags={"exclude": "1"},
        model="shows",
        scored=shown(b"customer_id,f1,f2", (b"C-001,1.0,2.0", ["1.0", "2.0"]), (b"C-002,3.0,4.0", ["3.0", "4.0"])),
    ),
    Case(
        "id-column.csv",
        tags={"exclude": "customer_id", "output": "1"},
        scored=(b"customer_id,prediction\nC-001,2\nC-002,2\n"),
    ),
    Case(
        "id-column.csv",
        "sas",
        {"exclude": "customer_id", "split": "rows"},
        scored=(b"customer_id,f1,f2,prediction\nC-001,1.0,2.0,2\nC-002,3.0,4.0,2\n"),
    ),
    Case(
        "one-bad-record.csv",
        model="adds",
        error="ModelFailed",
        summary=("400", "row 2"),
        details=("n/a,4.0", "could not convert string to float: 'n/a'"),
    ),
    Case(
        "one-bad-record.csv",
        tags={"max_errors": "1"},
        model="adds",
        scored=b"f1,f2,prediction\n1.0,2.0,3.0\nn/a,4.0,\n5.0,6.0,11.0\n",
        rejected=(
            b"row,offset,reason,record\n"
            b"2,14,The model answered 400 could not convert string to float: 'n/a',\"n/a,4.0\"\n"
        ),
        tags_out={"rejected": "1", "rows": "3"},
    ),
    *each(
        "rows.csv.gz", "sagemaker mlflow sas", with_prediction(gzip.decompress((FILES / "rows.csv.gz").read_bytes()))
    ),
    *each("upper.CSV", "sagemaker", b"a,b,prediction\n1,2,2\n"),
    Case("rows.jsonl", scored=(b'{"f1": 1.0, "f2": 2.0, "prediction": 2}\n{"f1": 3.0, "f2": null, "prediction": 2}\n')),
    Case(
        "rows.jsonl",
        "mlflow",
        scored=(b'{"f1": 1.0, "f2": 2.0, "prediction": 2}\n{"f1": 3.0, "f2": null, "prediction": 2}\n'),
    ),
    refused("workbook.xlsx", ("Excel workbook",)),
    refused("parquet.csv", ("Parquet",), protocol="mlflow"),
]
