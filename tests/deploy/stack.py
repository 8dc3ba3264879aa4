"""The processes of `compose.yaml` without containers: stores, servers, collector, worker, nginx and Prometheus.

`make stack` runs them until Ctrl-C, in the sandbox. The configuration is what is deployed, on addresses of 127.0.0.0/8
in place of those of the network `edge`, so that every process has the port that it has there. Linux alone has those.
"""

import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import click
import yaml

from db.embedded import Servers, embedded

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
SMARTFIN = Path(sys.executable).with_name("smartfin")
OURS = ("app1", "app2", "collect", "work")
HOSTS = {"nginx": 10, "app1": 11, "app2": 12, "collect": 13, "work": 14, "prometheus": 15, "alertmanager": 16}
"""The last number of each one's address; the first three are those that compose.yaml gives."""
START_S = 240
STOP_S = 30
OPERATORS_PORT = 9100


@dataclass
class Stack:
    """What runs, and where."""

    folder: Path
    network: str
    """What the addresses begin with: `127.20.30.`."""
    environment: dict[str, str]
    commands: dict[str, list[str]]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """nginx with TLS."""
        return f"https://{self.address('nginx')}:8443"

    @property
    def plain_url(self) -> str:
        """nginx without."""
        return f"http://{self.address('nginx')}:8080"

    @property
    def prometheus(self) -> str:
        """Prometheus's API and pages."""
        return f"http://{self.address('prometheus')}:9090"

    @property
    def tls(self) -> ssl.SSLContext:
        """What trusts nginx's certificate."""
        return ssl.create_default_context(cafile=str(self.folder / "tls.crt"))

    def address(self, name: str) -> str:
        """Where a process listens."""
        return f"{self.network}{HOSTS[name]}"

    def operators(self, name: str) -> str:
        """A process's port for operators."""
        return f"http://{self.address(name)}:{OPERATORS_PORT}"

    def start(self, name: str) -> None:
        """Start a process; the log is in the folder."""
        environment = self.environment | ({"SMARTFIN_HOST": self.address(name)} if name in OURS else {})
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self.commands[name], env=environment, stdout=log, stderr=log, cwd=self.folder, process_group=0
            )

    def stop(self, name: str) -> int:
        """End a process by SIGTERM; its exit code."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def wait_for(self, name: str, url: str) -> None:
        """Return once the URL says 200; raises where the process ends before, or takes too long."""
        tls, deadline = self.tls, time.monotonic() + START_S
        while not answers(url, tls):
            ended = self.processes[name].poll()
            if ended is not None or time.monotonic() > deadline:
                log = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{name} does not answer at {url} (exit code {ended}):\n{log[-2000:]}")
            time.sleep(0.1)


def answers(url: str, tls: ssl.SSLContext) -> bool:
    """Whether it says 200."""
    try:
        with urlopen(url, timeout=5, context=tls) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Stack]:
    """All of it, ready, in an empty folder; nothing of it runs any more at the end."""
    with embedded(folder / "data") as servers:
        stack = prepared(folder, servers, settings)
        try:
            subprocess.run([SMARTFIN, "migrate"], env=stack.environment, check=True, stdout=subprocess.DEVNULL)
            for name in OURS:
                stack.start(name)
            for name in OURS:
                stack.wait_for(name, f"{stack.operators(name)}/readyz")
            stack.start("prometheus")
            stack.wait_for("prometheus", f"{stack.prometheus}/-/ready")
            stack.start("nginx")
            stack.wait_for("nginx", f"{stack.url}/livez")
            yield stack
        finally:
            with ExitStack() as stopping:
                for name in stack.processes:
                    stopping.callback(stack.stop, name)


def prepared(folder: Path, servers: Servers, settings: Mapping[str, str]) -> Stack:
    """What is to run, with the files that it reads."""
    network = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}."
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    environment = {
        "PATH": f"{os.environ['PATH']}:/usr/sbin",
        "HOME": str(folder),
        "SMARTFIN_MODE": "sandbox",
        "SMARTFIN_PRODUCTION": "true",
        "SMARTFIN_SECRET_KEY": "the secret of a stack that is thrown away",
        "SMARTFIN_METRICS_PORT": str(OPERATORS_PORT),
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "FORWARDED_ALLOW_IPS": f"{network}{HOSTS['nginx']}",
        **settings,
    }
    commands = {name: [str(SMARTFIN), *services[name]["command"]] for name in OURS}
    commands["nginx"] = [
        "nginx",
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "nginx.log"),
        "-g",
        "daemon off;",
    ]
    commands["prometheus"] = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/prometheus",
        f"--web.listen-address={network}{HOSTS['prometheus']}:9090",
        "--log.level=warn",
    ]
    write_certificate(folder, f"{network}{HOSTS['nginx']}")
    write_nginx(folder, network)
    write_prometheus(folder, network)
    return Stack(folder, network, environment, commands)


def write_certificate(folder: Path, address: str) -> None:
    """A key and a certificate for an address of this machine."""
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{address}"),
            *("-keyout", folder / "tls.key", "-out", folder / "tls.crt"),
        ],
        check=True,
        capture_output=True,
    )


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """The text with each of these, which it must have, in the place of what it is here."""
    for there, here in changes.items():
        if there not in text:
            raise ValueError(f"nothing is {there!r} any more")
        text = text.replace(there, here)
    return text


def write_nginx(folder: Path, network: str) -> None:
    """nginx's configuration with these addresses, and ports that need no privilege."""
    text = (DEPLOY / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    here = f"{network}{HOSTS['nginx']}"
    changes = {
        "10.231.0.": network,
        "listen 443 ": f"listen {here}:8443 ",
        "listen 80 ": f"listen {here}:8080 ",
        "/run/secrets/tls_certificate": f"{folder}/tls.crt",
        "/run/secrets/tls_key": f"{folder}/tls.key",
        "/tmp/nginx.pid": f"{folder}/nginx.pid",
        "/dev/stdout": f"{folder}/access.log",
        "/dev/stderr": f"{folder}/nginx.log",
    }
    (folder / "nginx.conf").write_text(replaced(text, changes), encoding="utf-8")


def write_prometheus(folder: Path, network: str) -> None:
    """Prometheus's configuration with these addresses; it looks each second, and tells nobody of alerts."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    changes = {f"{name}:{OPERATORS_PORT}": f"{network}{HOSTS[name]}:{OPERATORS_PORT}" for name in OURS}
    changes |= {
        "localhost:9090": f"{network}{HOSTS['prometheus']}:9090",
        "alertmanager:9093": f"{network}{HOSTS['alertmanager']}:9093",
        "scrape_interval: 15s": "scrape_interval: 1s",
        "evaluation_interval: 15s": "evaluation_interval: 1s",
    }
    (folder / "prometheus.yml").write_text(replaced(text, changes), encoding="utf-8")
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", folder)


def main() -> None:
    """Run it all until Ctrl-C."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    with tempfile.TemporaryDirectory(prefix="smartfin-stack-") as folder, running(Path(folder)) as stack:
        click.echo(f"  SmartFin     {stack.url}/  (nobody has signed its certificate)")
        click.echo(f"  Prometheus   {stack.prometheus}/alerts")
        for name in OURS:
            click.echo(f"  {name:<11}  {stack.operators(name)}/metrics")
        click.echo(f"  logs         {stack.folder}\nCtrl-C ends it all.")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
