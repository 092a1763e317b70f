"""Tags of the file and its profile → the request: image by digest, cluster, namespace, sizes, deadlines."""

from typing import Any

from scoring import aws, settings
from scoring.cluster import api as clusters
from scoring.files import inspection, objects
from scoring.files.rejects import Limit
from scoring.intake import identity, images, parameters, pods, profiles, request, shard
from scoring.observability import observed
from scoring.settings import Settings


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Resolve what the file's tags ask for; gives the `request` of the attempt's state.

    Raises
    ------
    InvalidTags, InvalidProfile, InvalidFile, EmptyFile, SourceGone
    ImageNotFound, ImageNotAllowed, ClusterNotFound, ClusterNotActive, NamespaceNotAllowed, InvalidSettings
    """
    if part := event["state"].get("shard"):
        # What the file asks for, its own attempt has resolved.
        return shard.request(event["state"]["request"], part)
    configured = settings.current()
    source = identity.Source.from_json(event["state"]["source"])
    tags = objects.tags(aws.client("s3"), source, configured.tag_wait_seconds)
    path = source.key.removeprefix(configured.input_prefix)
    wanted = tags.get("profile", "").strip()
    profile = profiles.choose(parameters.load(configured.profiles, wanted), wanted, path)
    with profile.named():
        return _resolve(source, tags, profile, event["attempt_id"], configured)


def _resolve(
    source: identity.Source, tags: dict[str, str], profile: profiles.Profile, attempt_id: str, configured: Settings
) -> dict[str, Any]:
    wanted = request.from_tags(tags, configured, profile, parameters.load(configured.clusters_path))
    image = images.parse(wanted.model_image, configured.ecr_registry)
    images.check_allowed(image, configured.allowed_model_images)
    pinned = images.pin(image, aws.client("ecr"), configured.ecr_registry)
    clusters.describe(wanted.cluster.name, aws.client("eks"))
    output = {
        "bucket": configured.output_bucket,
        "key": identity.output_key(source.key, configured),
        "progress": identity.progress_key(attempt_id, configured),
    }
    # What cannot be read gets no pod.
    strict = not Limit.of(wanted.max_errors)
    spec = inspection.of_object(
        aws.client("s3"), source, wanted.reading, configured.input_suffix, wanted.protocol, strict=strict
    )
    count = pods.number(
        wanted.pods,
        source.size,
        configured.max_pods_per_file,
        protocol=wanted.protocol,
        split=wanted.split,
        is_own_text=spec.is_own_text,
    )
    return request.to_json(wanted, pinned.uri, output, spec.to_json(), configured, count)
