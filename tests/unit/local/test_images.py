"""Reading Dockerfiles and references, and building images from them."""

import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from local.images import (
    DEFAULT_PATH,
    BuildFailed,
    Image,
    InvalidReference,
    Reference,
    build,
    describe,
    dockerfile,
    environment,
    place,
)
from local.images.dockerfile import UnsupportedDockerfile

PYTHON = Path(sys.executable)
TRAIN = "import pathlib; pathlib.Path('model.txt').write_text('trained')"
# The longest step by far, even if there is nothing to install.
PIP = """RUN pip install --no-cache-dir \\
    # not needed at run time
    -r requirements.txt
"""
DOCKERFILE = f"""
# syntax=docker/dockerfile:1
FROM python:3.13-slim
WORKDIR /app
COPY requirements.txt .
{PIP}COPY train.py app.py ./
RUN python train.py
ENV GREETING="hello world" LEVEL=1
USER 65534:65534
EXPOSE 8080
ENTRYPOINT ["python", "app.py"]
CMD ["--verbose"]
"""


def write_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "requirements.txt").write_text("pytest\n")
    (folder / "train.py").write_text(TRAIN)
    (folder / "app.py").write_text("print('serving')")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that needs no packages."""
    folder = write_model(tmp_path / "model")
    (folder / "Dockerfile").write_text(DOCKERFILE.replace(PIP, ""))
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of a model that needs a package, which is installed."""
    scratch = tmp_path_factory.mktemp("image")
    return build(write_model(scratch / "model"), PYTHON, scratch / "cache")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def config_of(image: Image) -> dict[str, object]:
    digest = json.loads(image.manifest)["config"]["digest"]
    config: dict[str, object] = json.loads(image.blob(digest).read_bytes())
    return config


def content_of(image: Image) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(image.blob(json.loads(image.manifest)["layers"][0]["digest"])) as tar:
        return {entry.name: entry for entry in tar.getmembers()}


def steps(folder: Path, *lines: str) -> Path:
    """Make the folder's Dockerfile these steps after FROM and WORKDIR."""
    (folder / "Dockerfile").write_text("\n".join(["FROM scratch", "WORKDIR /app", *lines]))
    return folder


class TestBuild:
    def test_the_layer_has_what_was_copied_and_what_was_trained(self, image: Image) -> None:
        names = set(content_of(image))
        assert names == {"app", "app/app.py", "app/model.txt", "app/requirements.txt", "app/train.py"}

    def test_the_config_says_how_to_run_it(self, image: Image) -> None:
        assert config_of(image)["config"] == {
            "Cmd": ["--verbose"],
            "Entrypoint": ["python", "app.py"],
            "Env": ["GREETING=hello world", "LEVEL=1", f"PATH={PYTHON.parent}:{DEFAULT_PATH}"],
            "ExposedPorts": {"8080/tcp": {}},
            "User": "65534:65534",
            "WorkingDir": "/app",
        }

    def test_the_digest_is_the_same_wherever_and_whenever_it_is_built(self, model: Path, tmp_path: Path) -> None:
        first = build(model, PYTHON, tmp_path / "one")
        for path in model.iterdir():
            os.utime(path, (1, 1))
        (model / "__pycache__").mkdir()
        (model / "__pycache__" / "app.pyc").write_bytes(b"compiled")
        second = build(model.rename(tmp_path / "elsewhere"), PYTHON, tmp_path / "two")
        assert first.digest == second.digest
        assert first.layout != second.layout

    def test_an_unchanged_folder_is_not_built_again(self, model: Path, cache: Path, tmp_path: Path) -> None:
        witness = tmp_path / "witness"
        (model / "train.py").write_text(f"open({str(witness)!r}, 'a').write('trained ')")
        assert build(model, PYTHON, cache) == build(model, PYTHON, cache)
        assert witness.read_text() == "trained "

    def test_a_changed_file_makes_another_image(self, model: Path, cache: Path) -> None:
        before = build(model, PYTHON, cache)
        (model / "app.py").write_text("print('serving better')")
        assert build(model, PYTHON, cache).digest != before.digest

    def test_entries_carry_no_owner_time_or_umask(self, model: Path, cache: Path) -> None:
        (model / "train.py").chmod(0o700)
        entries = content_of(build(model, PYTHON, cache))
        assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries.values()} == {(0, 0, "", 0)}
        assert (entries["app/app.py"].mode, entries["app/train.py"].mode) == (0o644, 0o755)

    def test_steps_do_not_see_the_environment_of_the_builder(
        self, model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        (model / "train.py").write_text("import os; assert 'AWS_SECRET_ACCESS_KEY' not in os.environ")
        build(model, PYTHON, cache)

    def test_a_failing_step_shows_its_line_and_its_output(self, model: Path, cache: Path) -> None:
        (model / "train.py").write_text("raise SystemExit('no data today')")
        with pytest.raises(BuildFailed, match=r"(?s)Dockerfile, line 7: RUN python train\.py.no data today"):
            build(model, PYTHON, cache)
        assert not list((cache / "built").iterdir())

    def test_a_package_that_is_not_installed_is_named(self, model: Path, cache: Path) -> None:
        (model / "Dockerfile").write_text(DOCKERFILE)
        (model / "requirements.txt").write_text("no-such-package-of-dropscore==1\n")
        with pytest.raises(BuildFailed, match=r"(?s)no-such-package-of-dropscore.*requirements/models\.in"):
            build(model, PYTHON, cache)

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            ("RUN useradd model", "can only be"),
            ("RUN python train.py && rm train.py", "no shell"),
            ("RUN python train.py > log", "no shell"),
            ("RUN python $SCRIPT", "no shell"),
            ("COPY ../secret .", "outside"),
            ("COPY app.py ../../etc/", "outside"),
            ("COPY absent.py .", "absent.py is not in the folder"),
            ("COPY app.py train.py both", "slash"),
            ("ENV LEVEL 1", "NAME=value"),
            ('SHELL ["bash"]', "SHELL is not supported"),
        ],
    )
    def test_what_only_docker_can_do_is_refused(self, model: Path, cache: Path, step: str, reason: str) -> None:
        (model.parent / "secret").write_text("secret")
        with pytest.raises(BuildFailed, match=rf"(?s)line 3\b.*{reason}"):
            build(steps(model, step), PYTHON, cache)

    def test_a_dockerignore_is_refused_because_it_would_not_be_heeded(self, model: Path, cache: Path) -> None:
        (model / ".dockerignore").write_text("*.csv")
        with pytest.raises(BuildFailed, match="dockerignore"):
            build(model, PYTHON, cache)

    @pytest.mark.parametrize(
        ("step", "expected"),
        [
            ("COPY app.py main.py", {"app/main.py"}),
            ("COPY app.py /srv/", {"srv", "srv/app.py"}),
            ("COPY *.py code/", {"app/code", "app/code/app.py", "app/code/train.py"}),
            ('COPY ["app.py", "./"]', {"app/app.py"}),
            ("COPY . .", {"app/Dockerfile", "app/app.py", "app/requirements.txt", "app/train.py"}),
        ],
    )
    def test_copy_puts_files_where_docker_does(self, model: Path, cache: Path, step: str, expected: set[str]) -> None:
        assert set(content_of(build(steps(model, step), PYTHON, cache))) == {"app"} | expected

    def test_links_are_kept_as_links(self, model: Path, cache: Path) -> None:
        (model / "data").mkdir()
        (model / "data" / "current").symlink_to("app.py")
        (model / "folder").symlink_to("data")
        entry = content_of(build(steps(model, "COPY data data"), PYTHON, cache))["app/data/current"]
        assert (entry.issym(), entry.linkname) == (True, "app.py")

    def test_the_shell_form_of_a_command_runs_in_a_shell(self, model: Path, cache: Path) -> None:
        config = config_of(build(steps(model, "ENTRYPOINT python app.py --level $LEVEL"), PYTHON, cache))
        assert config["config"]["Entrypoint"] == ["/bin/sh", "-c", "python app.py --level $LEVEL"]  # type: ignore[index]


class TestOwnEnvironment:
    """A model of a user's, where there is no Docker."""

    def test_it_has_what_the_dockerfile_installs_and_nothing_else_has(self, tmp_path: Path, cache: Path) -> None:
        folder = own_model(tmp_path / "own")
        python = environment(folder, cache)
        image = build(folder, python, cache, installs=True)
        with tarfile.open(image.blob(json.loads(image.manifest)["layers"][0]["digest"])) as tar:
            trained = tar.extractfile("app/model.txt")
            assert trained
            assert trained.read() == b"by 1.0"
        config = config_of(image)["config"]
        assert isinstance(config, dict)
        assert config["Env"][-1].startswith(f"PATH={python.parent}:")

    def test_other_packages_have_another_and_other_code_has_not(self, tmp_path: Path, cache: Path) -> None:
        folder = own_model(tmp_path / "own")
        known = place(folder, cache)
        (folder / "train.py").write_text("print()")
        assert place(folder, cache) == known, "it is copied after the packages are there"
        (folder / "tiny-1.0-py3-none-any.whl").write_bytes(b"another")
        assert place(folder, cache) != known

    def test_a_package_that_there_is_not_is_pips_to_tell(self, tmp_path: Path, cache: Path) -> None:
        folder = own_model(tmp_path / "own")
        (folder / "requirements.txt").write_text("/app/no-such-0-py3-none-any.whl")
        with pytest.raises(BuildFailed, match=r"(?s)line 5: RUN pip install.*no-such") as failed:
            build(folder, environment(folder, cache), cache, installs=True)
        assert "requirements/models.in" not in str(failed.value)


def own_model(folder: Path) -> Path:
    """A model that needs a package which nobody has but the folder."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "version = '1.0'")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    (folder / "requirements.txt").write_text("./tiny-1.0-py3-none-any.whl\n")
    (folder / "train.py").write_text("import tiny; open('model.txt', 'w').write(f'by {tiny.version}')")
    return steps(
        folder,
        'LABEL maintainer="a team"',
        "COPY --chown=1000:1000 requirements.txt *.whl /app/",
        "RUN pip install --no-index -r /app/requirements.txt",
        "COPY . /app",
        "RUN python /app/train.py",
        'CMD ["python", "app.py"]',
    )


class TestInDocker:
    def test_what_docker_has_built_is_described_without_its_layers(self, cache: Path) -> None:
        identity = "sha256:" + "a" * 64
        config = {"Entrypoint": ["python"], "Cmd": None, "User": "1000", "Healthcheck": {"Test": ["NONE"]}}
        image = describe({"Id": identity, "Config": config}, cache)
        manifest = json.loads(image.manifest)
        assert (manifest["layers"], list(manifest["annotations"].values())) == ([], [identity])
        assert config_of(image)["config"] == {"Entrypoint": ["python"], "User": "1000"}
        assert describe({"Id": identity, "Config": config}, cache) == image


class TestDockerfile:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("WORKDIR /app", "exactly one FROM"),
            ("FROM a\nFROM b", "exactly one FROM"),
            ("USER 1\nFROM a", "first instruction"),
            ("FROM a\nWORKDIR", "line 2: WORKDIR needs an argument"),
            ("FROM a\nWORKDIR $HOME", "line 2: variables"),
            ("FROM a\nCOPY --from=b /x /y", "line 2: COPY --from=b"),
            ("FROM a\n\nRUN python <<EOF\nprint(1)\nEOF", "line 3: heredocs"),
            ("FROM a\nCOPY app.py", "line 2: COPY needs a source and a destination"),
        ],
    )
    def test_what_it_cannot_do_is_refused(self, tmp_path: Path, content: str, reason: str) -> None:
        path = tmp_path / "Dockerfile"
        path.write_text(content)
        with pytest.raises(UnsupportedDockerfile, match=reason):
            dockerfile.read(path)

    def test_names_are_read_in_any_case_and_lines_are_joined(self, tmp_path: Path) -> None:
        path = tmp_path / "Dockerfile"
        path.write_text("from a\nrun\tpython \\\n\n  # why\n  train.py")
        from_, run = dockerfile.read(path)
        assert (from_.name, run.name, run.words, run.line) == ("FROM", "RUN", ("python", "train.py"), 2)


class TestReference:
    @pytest.mark.parametrize(
        ("text", "full"),
        [
            ("no-such-model:9", "docker.io/library/no-such-model:9"),
            ("team/model", "docker.io/team/model:latest"),
            ("127.0.0.1:5001/team/model:1", "127.0.0.1:5001/team/model:1"),
            ("localhost/model", "localhost/model:latest"),
            ("registry.example/a/b__c@sha256:" + "a" * 64, "registry.example/a/b__c@sha256:" + "a" * 64),
            ("registry.example/a:tag@sha256:" + "a" * 64, "registry.example/a@sha256:" + "a" * 64),
        ],
    )
    def test_it_is_completed_as_containerd_does(self, text: str, full: str) -> None:
        assert str(Reference.parse(text)) == full

    def test_upper_case_is_refused_in_the_words_of_the_kubelet(self) -> None:
        # From a real cluster: evidence of the state InvalidImageName.
        with pytest.raises(InvalidReference) as caught:
            Reference.parse("Not_A/Valid Image:Name")
        assert str(caught.value) == (
            'Failed to apply default image tag "Not_A/Valid Image:Name": couldn\'t parse image reference '
            '"Not_A/Valid Image:Name": invalid reference format: repository name must be lowercase'
        )

    @pytest.mark.parametrize("text", ["", "a b", "a:", "a:b:c", "a@sha256:abc", "a.b/", "a//b", "a@", "-a"])
    def test_what_is_no_reference_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidReference, match=r"invalid reference format$"):
            Reference.parse(text)
