"""DVC's remotes, and a sweep's trial through each: a folder, OpenSSH's own server, and a simulator of S3."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Repository
from tests.sweeps import experiments, sweep, two_nodes, wait_for, write_sweep

pytest.importorskip("ray", reason="needs Ray: make sweep-installed")
pytestmark = pytest.mark.slow

BUCKET = "shelf"
SSHD = "/usr/sbin/sshd"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need."""
    path = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def server(*command: str) -> Iterator[int]:
    """A server on the loopback while the block runs; PORT in its command becomes the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = [word.replace("PORT", str(port)) for word in command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: process.poll() is not None or answers(port), 60)
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            yield port
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def a_folder(repository: Repository, folder: Path) -> Iterator[None]:
    repository.dvc("remote", "add", "--default", "shelf", str(folder / "shelf"))
    yield


@contextmanager
def an_ssh_server(repository: Repository, folder: Path) -> Iterator[None]:
    """Debian's sshd for this user alone, with keys made for the test."""
    pytest.importorskip("dvc_ssh", reason="needs dvc-ssh: make .venv/installed-remotes")
    if not Path(SSHD).exists():
        pytest.skip("needs OpenSSH's server, as in Debian's openssh-server")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "sshd_config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nPidFile none\nStrictModes no\nUsePAM no\n"
        "ListenAddress 127.0.0.1\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with server(SSHD, "-D", "-f", str(folder / "sshd_config"), "-p", "PORT") as port:
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        repository.dvc("remote", "add", "--default", "shelf", f"ssh://{user}@127.0.0.1:{port}{folder}/shelf")
        repository.dvc("remote", "modify", "--local", "shelf", "keyfile", str(folder / "user"))
        yield


@contextmanager
def a_simulated_s3(repository: Repository, folder: Path) -> Iterator[None]:
    """Moto's server: it answers as S3 does, from its memory."""
    pytest.importorskip("dvc_s3", reason="needs dvc-s3: make .venv/installed-remotes")
    pytest.importorskip("moto", reason="needs moto: make .venv/installed-remotes")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        repository.environment[name] = "for-a-simulator"
    repository.environment |= {"AWS_DEFAULT_REGION": "us-east-1"}
    with server(str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", "PORT") as port:
        repository.run(
            "python", "-c",
            f"import boto3; boto3.client('s3', endpoint_url='http://127.0.0.1:{port}').create_bucket(Bucket='{BUCKET}')",
        )  # fmt: skip
        repository.dvc("remote", "add", "--default", "shelf", f"s3://{BUCKET}/digits")
        repository.dvc("remote", "modify", "shelf", "endpointurl", f"http://127.0.0.1:{port}")
        yield


@pytest.mark.parametrize("remote", [a_folder, an_ssh_server, a_simulated_s3])
def test_a_remote_carries_data_to_clones_and_networks_back(
    repository: Repository,
    folder: Path,
    tmp_path: Path,
    remote: Callable[[Repository, Path], AbstractContextManager[None]],
):
    with remote(repository, folder):
        repository.commit("Keep data and models on the shelf")
        repository.dvc("push")
        repository.run("git", "clone", "--quiet", str(repository.path), str(tmp_path / "clone"))
        clone = Repository(tmp_path / "clone", repository.home)
        clone.environment = repository.environment
        local = repository.path / ".dvc" / "config.local"
        if local.exists():
            shutil.copy(local, clone.path / ".dvc")
        clone.dvc("pull")
        assert clone.dvc("status").strip() == "Data and pipelines are up to date."

        with two_nodes(folder, clone.environment) as nodes:
            file = write_sweep(clone, space={"network": ["mlp"], "networks.mlp.epochs": [1]})
            printed = sweep(clone, file, "--address", nodes.address)
        assert "1 done, 0 stopped, 0 failed" in printed
        (name,) = experiments(clone)
        clone.dvc("exp", "apply", name)
        assert (clone.path / "models/model.keras").stat().st_size > 0
        assert "Running stage .train." not in clone.dvc("repro", "evaluate")
