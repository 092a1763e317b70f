"""Tags of the file → the request: image by digest, cluster, namespace, sizes, deadlines."""

from typing import Any

from scoring import aws, settings
from scoring.cluster import api as clusters
from scoring.files import inspection, objects
from scoring.files.rejects import Limit
from scoring.intake import identity, images, request
from scoring.observability import observed


@observed
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Resolve what the file's tags ask for; gives the `request` of the attempt's state.

    Raises
    ------
    InvalidTags, InvalidFile, EmptyFile, ImageNotFound, ImageNotAllowed, ClusterNotFound, ClusterNotActive, NamespaceNotAllowed, SourceGone
    """
    configured = settings.current()
    source = identity.Source.from_json(event["state"]["source"])
    tags = objects.tags(aws.client("s3"), source, configured.tag_wait_seconds)
    wanted = request.from_tags(tags, configured)
    image = images.parse(wanted.model_image, configured.ecr_registry)
    images.check_allowed(image, configured.allowed_model_images)
    pinned = images.pin(image, aws.client("ecr"), configured.ecr_registry)
    clusters.describe(wanted.cluster.name, aws.client("eks"))
    output = {
        "bucket": configured.output_bucket,
        "key": identity.output_key(source.key, configured),
        "progress": identity.progress_key(event["attempt_id"], configured),
    }
    # What cannot be read gets no pod.
    strict = not Limit.of(wanted.max_errors)
    spec = inspection.of_object(
        aws.client("s3"), source, wanted.reading, configured.input_suffix, wanted.protocol, strict=strict
    )
    return request.to_json(wanted, pinned.uri, output, spec.to_json(), configured)
