"""Another definition for what a state machine begins from now on, as a deployment makes it."""

from typing import Any


def release(states: Any, state_machine: str, definition: str) -> None:
    """Give a state machine a definition, and publish it: a start by an alias is one of the version that the alias names.

    Executions under way, and the redrives of those that are over, keep theirs.
    """
    version = states.update_state_machine(stateMachineArn=state_machine, definition=definition, publish=True)
    routing = [{"stateMachineVersionArn": version["stateMachineVersionArn"], "weight": 100}]
    for alias in states.list_state_machine_aliases(stateMachineArn=state_machine)["stateMachineAliases"]:
        states.update_state_machine_alias(
            stateMachineAliasArn=alias["stateMachineAliasArn"], routingConfiguration=routing
        )
