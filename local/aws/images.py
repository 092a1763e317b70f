"""Repair: ECR's DescribeImages of an image that is not there is ImageNotFoundException, as on AWS, not an empty list."""

from typing import Any

from ministack.services import ecr

Response = tuple[int, dict[str, str], bytes]


def repair() -> None:
    """Refuse what DescribeImages cannot find."""
    describe = ecr._describe_images

    def describe_images(request: dict[str, Any]) -> Response:
        repository = request.get("repositoryName", "")
        for image in request.get("imageIds", []) if repository in ecr._repositories else []:
            if not ecr._find_image(repository, image):
                refusal: Response = ecr.error_response_json(
                    "ImageNotFoundException",
                    f"The image with imageId {{imageDigest:'{image.get('imageDigest', 'null')}', "
                    f"imageTag:'{image.get('imageTag', 'null')}'}} does not exist within the repository with name "
                    f"'{repository}' in the registry with id '{ecr._registry_id()}'",
                    400,
                )
                return refusal
        response: Response = describe(request)
        return response

    ecr._describe_images = describe_images
