"""Repair: requests count as encrypted.

A bucket's policy denies what does not come over TLS (`aws:SecureTransport`), and should. MiniStack serves plain HTTP,
to this machine only: such a policy would deny everything.
"""

from ministack.core import iam_evaluator


def repair() -> None:
    """Let conditions on the transport see TLS."""
    pin = iam_evaluator.pin_request_origin

    def pin_as_encrypted(source_ip: str, _secure_transport: bool) -> None:
        pin(source_ip, True)

    iam_evaluator.pin_request_origin = pin_as_encrypted
