"""`dropscore check`: what is tried, in this order, and how it is told."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from dropscore import telling
from dropscore.check import containers, findings, trial
from dropscore.check.containers import Container, Image
from dropscore.check.findings import BAD, GOOD, NOTE, Finding
from dropscore.stack import Unusable
from scoring.cluster import remedies
from scoring.errors import DropscoreError
from scoring.protocols.model import NoAnswer, NoConnection, StillBusy

FEW, MANY = 10, 1_000
_MARKS = {GOOD: "[green]✓[/]", NOTE: "[yellow]![/]", BAD: "[red]✗[/]"}
_ROWS_SHOWN = 3


class Check:
    """One check; `found` is what came of it so far, each told as it is found."""

    def __init__(self, console: Console, sample: Path, tags: Mapping[str, str], wait_seconds: float) -> None:
        self._console, self._wait_seconds = console, wait_seconds
        self._tags = dict(tags)
        self._sample = trial.Sample(sample, tags)
        self.found: list[Finding] = []

    def of_url(self, url: str) -> bool:
        """Try a model that runs somewhere; whether it is fit.

        Raises
        ------
        DropscoreError
            What the sample or the tags are refused for.
        Unusable
            Nobody takes a connection there.
        """
        self._console.print(f"[dim]Waiting for {escape(url)} to be ready, at most {self._wait_seconds:.0f} s …[/]")
        model = trial.Asked(url)
        protocol = self._ready(model, self._tags, lambda: None, url)
        if protocol:
            self._score(model, protocol, lambda: None)
        return self._conclude("", protocol)

    def of_image(self, name: str, port: int | None) -> bool:
        """Start an image as a pod would, and try it; whether it is fit.

        Raises
        ------
        Unusable, DropscoreError
        """
        image = containers.inspect(name)
        self._console.print(f"{escape(name)}: {image.architecture}, {telling.size(image.size)}", soft_wrap=True)
        protocol = self._of_container(image, self._tags, port)
        if not protocol and "protocol" not in self._tags and self._exited_at_once:
            # SageMaker's images have no command of their own.
            self._tell(Finding(NOTE, "Tried again as SageMaker starts its images, with the argument `serve`."))
            before, self.found = self.found, []
            protocol = self._of_container(image, {**self._tags, "protocol": "sagemaker"}, port)
            if not protocol:
                self.found = before
        return self._conclude(name, protocol)

    def _of_container(self, image: Image, tags: Mapping[str, str], port: int | None) -> str:
        asked = trial.wanted(tags)
        pod = asked.pod | ({"port": port} if port else {})
        container = Container(image, pod, asked.resources)
        self._exited_at_once = False

        def alive() -> None:
            if ended := container.ended:
                log = container.log()
                raise remedies.explained(_Ended(f"The container has ended: {ended}."), log)

        try:
            model = trial.Asked(container.url)
            protocol = self._ready(model, tags, alive)
            self._exited_at_once = bool(container.ended)
            if not self._exited_at_once:
                for each in findings.of_image(image, container.user()):
                    self._tell(each)
                for each in findings.of_ports(pod["port"], container.listening(), is_ready=bool(protocol)):
                    self._tell(each)
            if port and protocol:
                self._tell(Finding(NOTE, f"The image's profile has to name its port {port}.", profile={"port": port}))
            if protocol:
                self._score(model, protocol, alive)
            elif log := container.log():
                self._console.print("[dim]The end of its log:[/]")
                for line in log.splitlines():
                    self._console.print(f"  [dim]{escape(line)}[/]", soft_wrap=True)
            return protocol
        finally:
            container.remove()

    def _ready(self, model: trial.Asked, tags: Mapping[str, str], alive: Callable[[], None], url: str = "") -> str:
        """The protocol of a model, once it is ready; empty if it never is. Of one at a `url`, raises Unusable if nobody is there."""
        asked = trial.wanted(tags)
        request = {"protocol": asked.protocol, "model_name": asked.model_name}
        try:
            protocol, seconds = trial.wait_until_ready(model, request, self._wait_seconds, alive)
        except DropscoreError as error:
            if url and isinstance(error, trial.NotReached):
                raise Unusable(
                    f"There is no model at {url}: {error.summary}",
                    "Look whether it runs there; its address is http://host:port, without the protocol's own paths.",
                ) from error
            self._tell(Finding(BAD, error.summary, error.remedy))
            return ""
        how = "" if asked.protocol == protocol else ", as its answers tell"
        self._tell(Finding(GOOD, f"It was ready after {seconds:.1f} s and speaks {protocol}{how}."))
        return protocol

    def _score(self, model: trial.Asked, protocol: str, alive: Callable[[], None]) -> None:
        if protocol == "sagemaker":
            self._tell_parameters(model)
        self._look_for_pages(model)
        few = self._try(model, protocol, FEW, alive)
        if few is None:
            return
        self._show(few.output)
        one, _ = self._sample.first(1)
        try:
            trial.run(model, one, self._sample.name, self._sample.tags, protocol, alive)
        except DropscoreError as error:
            self._tell(
                Finding(
                    NOTE,
                    f"A file of a single record fails: {error.summary}",
                    "In larger files no record is sent alone; let the model take one row as it takes two.",
                )
            )
        self._try(model, protocol, MANY, alive)

    def _try(self, model: trial.Asked, protocol: str, records: int, alive: Callable[[], None]) -> trial.Tried | None:
        body, _ = self._sample.first(records)
        try:
            tried = trial.run(model, body, self._sample.name, self._sample.tags, protocol, alive)
        except DropscoreError as error:
            answer = str(error.details.get("answer") or "").strip()
            # Of JSON, the summary has the message.
            said = f" It said: {answer}" if answer and not answer.startswith(("{", "[")) else ""
            self._tell(Finding(BAD, f"{error.summary}{said}", error.remedy))
            return None
        self._tell(findings.of_batches(tried.sent, tried.rows, tried.seconds))
        if tried.rejected:
            self._tell(Finding(NOTE, f"{tried.rejected} of these records are bad."))
        return tried

    def _tell_parameters(self, model: trial.Asked) -> None:
        try:
            answer = model.request("GET", "/execution-parameters", 5.0)
        except (NoConnection, NoAnswer, StillBusy):
            return
        if answer.status == 200 and isinstance(answer.document, dict):
            told = ", ".join(f"{name} {value}" for name, value in answer.document.items())
            self._tell(Finding(NOTE, f"Its /execution-parameters are kept to: {told}."))

    def _look_for_pages(self, model: trial.Asked) -> None:
        """A model that answers any path cannot be told from a gateway that has a page for everything."""
        try:
            answer = model.request("GET", f"/{secrets.token_hex(8)}", 5.0)
        except (NoConnection, NoAnswer, StillBusy):
            return
        if answer.status == 200:
            self._tell(
                Finding(
                    NOTE, "It answers 200 to a path that nobody knows.", "Let it answer 404, so that mistakes show."
                )
            )

    def _show(self, output: bytes) -> None:
        lines = output.decode("utf-8", "replace").splitlines()[: _ROWS_SHOWN + 1]
        if lines and not lines[0].startswith("{"):
            delimiter = max(",;\t|", key=lines[0].count)
            rows = list(islice(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter), _ROWS_SHOWN + 1))
            self._console.print(telling.rows_table(rows))
        else:
            for line in lines:
                self._console.print(f"  {escape(line)}", soft_wrap=True)

    def _tell(self, finding: Finding) -> None:
        self.found.append(finding)
        self._console.print(f"{_MARKS[finding.kind]} {escape(finding.what)}", soft_wrap=True)
        if finding.remedy:
            self._console.print(f"  {escape(finding.remedy)}", soft_wrap=True)

    def _conclude(self, image: str, protocol: str) -> bool:
        is_fit = bool(protocol) and not any(each.kind == BAD for each in self.found)
        self._console.print()
        if protocol:
            text, profile = findings.what_fits(image, protocol, self._tags, self.found)
            verdict = "[green]It is fit.[/] The tags:" if is_fit else "[yellow]With this mended[/], the tags:"
            self._console.print(f"{verdict} {escape(text)}", soft_wrap=True)
            if profile:
                told = escape(findings.profile_text(image, profile))
                self._console.print(f"and the profile, in place of mending it: {told}", soft_wrap=True)
        else:
            self._console.print("[red]It is not fit.[/]")
        return is_fit


class _Ended(DropscoreError):
    remedy = "Repair what its log tells of, and check it again."


def check(console: Console, target: str, sample: Path, tags: Mapping[str, str], wait: float, port: int | None) -> bool:
    """Check a model at a URL, or an image of the local Docker; whether it is fit.

    Raises
    ------
    Unusable, DropscoreError
    """
    made: Any = Check(console, sample, tags, wait)
    if target.startswith(("http://", "https://")):
        return bool(made.of_url(target))
    return bool(made.of_image(target, port))
