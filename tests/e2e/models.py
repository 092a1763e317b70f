"""Images of models that misbehave, or tell what they were sent, made and pushed for a test."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
from pathlib import Path

from local import images, parts
from tests.e2e.pipeline import Pipeline

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONTAINER = ROOT / "models/sas-anomaly/app.py"

DOCKERFILE = """FROM python:3.13-slim
WORKDIR /app
COPY app.py .
ENV BEHAVIOUR={behaviour}
EXPOSE 8080
USER {user}
ENTRYPOINT {entrypoint}
"""
SAS_DOCKERFILE = """FROM python:3.13-slim
WORKDIR /app
RUN pip install --no-cache-dir gunicorn
COPY app.py score.py gunicorn.conf.py ./
ENV BEHAVIOUR={behaviour}
EXPOSE 8080
USER 1000
ENTRYPOINT ["gunicorn", "app:app"]
"""
# As an image of SAS's has it, but for the time-out, which is gunicorn's own (30 s) there.
GUNICORN = """import os
bind = f"{os.environ.get('HOST', '0.0.0.0')}:8080"
timeout = 3
control_socket_disable = True
"""


def push(
    pipeline: Pipeline,
    behaviour: str,
    repository: str = "",
    user: str = "1000",
    entrypoint: str = '["python", "app.py"]',
    app: Path = HERE / "misbehaving.py",
) -> str:
    """Push an image that behaves in the given way (misbehaving.py, misbehaving_script.py, or `app`); what the tag model_image
    names, which is its repository on the embedded clusters.
    """
    repository = repository or f"tests/{behaviour}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if "script" in behaviour:
            shutil.copy(CONTAINER, folder)
            shutil.copy(HERE / "misbehaving_script.py", folder / "score.py")
            (folder / "gunicorn.conf.py").write_text(GUNICORN)
            (folder / "Dockerfile").write_text(SAS_DOCKERFILE.format(behaviour=behaviour))
        else:
            shutil.copy(app, folder / "app.py")
            text = DOCKERFILE.format(behaviour=behaviour, user=user, entrypoint=entrypoint)
            (folder / "Dockerfile").write_text(text)
        if pipeline.publisher:
            return pipeline.publisher.publish(folder, repository)
        image = images.build(folder, parts.MODELS_PYTHON)
    images.push(pipeline.stack.client("ecr"), image, repository=repository, tag="latest")
    return repository


def release(endpoint: str) -> None:
    """Let the model that is `held` answer, at the address that its file is sent to."""
    with urllib.request.urlopen(f"{endpoint}/release") as answer:
        assert answer.read() == b"released"
