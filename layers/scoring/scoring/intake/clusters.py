"""The clusters that dropscore is set up for: of the stack's parameter Clusters, and of SSM Parameter Store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scoring import settings
from scoring.errors import ClusterNotFound, InvalidSettings
from scoring.settings import ClusterSettings, Settings

if TYPE_CHECKING:
    # Most functions never read Parameter Store, and need not load what does.
    from scoring.intake.parameters import Stored


def find(name: str, configured: Settings, stored: Mapping[str, Stored]) -> ClusterSettings:
    """One cluster; `stored` are those of Parameter Store.

    Raises
    ------
    ClusterNotFound, InvalidSettings
    """
    if name not in stored and name not in configured.clusters:
        known = ", ".join([*configured.clusters, *stored])
        raise ClusterNotFound(f"The cluster {name!r} is not one that dropscore is set up for ({known or 'none is'}).")
    if name not in stored:
        return configured.clusters[name]
    parameter = f"parameter {configured.clusters_path}/{name} (version {stored[name].version})"
    remedy = "Correct the parameter in SSM Parameter Store, then redrive the execution a minute later."
    if name in configured.clusters:
        raise InvalidSettings(
            f"The cluster {name} is in the parameter Clusters of the stack and in the {parameter}.", remedy
        )
    try:
        return ClusterSettings.from_json(name, stored[name].document())
    except ValueError as error:
        raise InvalidSettings(f"The {parameter} is not JSON: {error}.", remedy) from error
    except InvalidSettings as error:
        raise InvalidSettings(f"The {parameter} is broken. {error.summary}", remedy) from error


def of_request(request: Mapping[str, Any]) -> ClusterSettings:
    """The cluster of an attempt, as it was when its request was resolved.

    Raises
    ------
    ClusterNotFound
        The stack has been updated meanwhile and says nothing of the cluster any more.
    """
    name: str = request["cluster"]
    if "cluster_settings" not in request:
        # An attempt that had its request before an update of the stack.
        if found := settings.current().clusters.get(name):
            return found
        raise ClusterNotFound(
            f"The stack was updated while this file was on its way, and its parameter Clusters has no {name!r} any more.",
            "Redrive the execution of score_file: a new attempt also finds clusters that are in Parameter Store.",
        )
    return ClusterSettings.from_json(name, request["cluster_settings"])
