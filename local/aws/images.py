"""Repair: ECR refuses to describe an image that is not there (ImageNotFoundException), as on AWS."""

from typing import Any

from ministack.services import ecr

Response = Any  # MiniStack's, which has no type hints: status, headers, body


def repair() -> None:
    """Refuse what DescribeImages cannot find."""
    describe = ecr._describe_images

    def describe_images(request: dict[str, Any]) -> Response:
        repository = request.get("repositoryName", "")
        for image in request.get("imageIds", []) if repository in ecr._repositories else []:
            if not ecr._find_image(repository, image):
                return ecr.error_response_json(
                    "ImageNotFoundException",
                    f"The image with imageId {{imageDigest:'{image.get('imageDigest', 'null')}', "
                    f"imageTag:'{image.get('imageTag', 'null')}'}} does not exist within the repository with name "
                    f"'{repository}' in the registry with id '{ecr._registry_id()}'",
                    400,
                )
        return describe(request)

    ecr._describe_images = describe_images
