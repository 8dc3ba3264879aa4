"""What `deploy/` and `compose.yaml` say, held against the programs that read it and against SmartFin itself."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from compose_spec import PyCompose
from prometheus_client.parser import text_string_to_metric_families
from pydantic_settings import DotEnvSettingsSource

from settings import Settings
from tests.conftest import ROOT, SMARTFIN, Running

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "smartfin.json"
OURS = {"app1", "app2", "collect", "work"}

NAME = re.compile(r"\b(?:smartfin|process)_\w+")
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "summary": ["_count", "_sum"]}


def ran(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_compose_is_of_the_specification(compose: dict[str, Any]) -> None:
    PyCompose.from_json(json.dumps(compose)).to_spec()  # with `<<` resolved, which it does not know


def test_compose_names_nothing_that_it_does_not_define(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == OURS | {"migrate", "postgres", "redis", "nginx", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        assert set(service.get("networks", ())) <= set(compose["networks"]), name
        assert set(service.get("secrets", ())) <= set(compose["secrets"]), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), f"{name}: {source}"


def test_each_service_is_bounded_watched_and_started_again(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["mem_limit"], name
        assert service["pids_limit"], name
        assert service["restart"] == ("on-failure" if name == "migrate" else "unless-stopped"), name
        assert service["logging"]["options"]["max-size"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if name in OURS:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert "healthcheck" not in service, "the image's"
        elif name != "migrate":
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+)?", service["image"]), f"{name} is not pinned"


def test_only_nginx_and_grafana_are_reached_from_outside_and_the_stores_reach_nobody(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"nginx": ["80:80", "443:443"], "grafana": ["127.0.0.1:3000:3000"]}
    assert compose["networks"]["stores"] == {"internal": True}


def test_addresses_and_ports_are_the_same_wherever_they_stand(compose: dict[str, Any]) -> None:
    addresses = {
        name: compose["services"][name]["networks"]["edge"]["ipv4_address"] for name in ("nginx", "app1", "app2")
    }
    nginx = (DEPLOY / "nginx" / "nginx.conf").read_text(encoding="utf-8")
    assert re.findall(r"^ *server (\S+):8000 ", nginx, re.MULTILINE) == [addresses["app1"], addresses["app2"]]
    assert example()["FORWARDED_ALLOW_IPS"] == addresses["nginx"]
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    [ours] = [job for job in scraped["scrape_configs"] if job["job_name"] == "smartfin"]
    assert {target for group in ours["static_configs"] for target in group["targets"]} == {f"{s}:9100" for s in OURS}
    assert "SMARTFIN_METRICS_PORT=9100" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def example() -> dict[str, str | None]:
    read = DotEnvSettingsSource(Settings, env_file=DEPLOY / "smartfin.env.example", case_sensitive=True)
    return dict(read.env_vars)


def test_the_example_of_settings_has_none_that_smartfin_does_not_know() -> None:
    text = (DEPLOY / "smartfin.env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))
    known = {field.alias for field in Settings.model_fields.values()} | {"FORWARDED_ALLOW_IPS"}
    assert named <= known
    assert {"SMARTFIN_SECRET_KEY", "DATABASE_URL", "REDIS_URL", "SMARTFIN_PRODUCTION"} <= named


def test_the_image_has_the_makefiles_uv() -> None:
    version = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert f"ARG UV_VERSION={version[1]}\n" in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_is_made_of_what_the_wheel_is_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = {name.partition("/")[0] for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]}
    assert let_in == wheel | {"pyproject.toml", "requirements.lock", "README.md"}


def test_hadolint_has_nothing_to_say() -> None:
    done = ran(SMARTFIN.with_name("hadolint"), DEPLOY / "Dockerfile")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def expressions() -> list[str]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [rule["expr"] for group in groups for rule in group["rules"]] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


async def test_rules_and_dashboard_ask_for_metrics_that_there_are(sandbox: Running) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{sandbox.url}/metrics") as response:
        families = list(text_string_to_metric_families(await response.text()))
    given = {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, [""])}
    asked = {expression: set(NAME.findall(expression)) for expression in expressions()}
    assert [expression for expression, names in asked.items() if not names] == ['up{job="smartfin"} == 0']
    assert {expression: names - given for expression, names in asked.items() if names - given} == {}


@pytest.mark.tools
def test_promtool_takes_the_configuration_and_every_rule_fires_when_it_should() -> None:
    checked = ran("promtool", "check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus" / "prometheus.yml")
    assert (checked.returncode, checked.stderr) == (0, "")
    tests = ROOT / "tests" / "deploy" / "rules_test.yml"
    tested = ran("promtool", "test", "rules", tests)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    rules = {rule["alert"] for rule in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]}
    fired = {
        case["alertname"]
        for test in yaml.safe_load(tests.read_text(encoding="utf-8"))["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == rules


@pytest.mark.tools
def test_promtool_understands_every_panel(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = ran("promtool", "check", "rules", tmp_path / "panels.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.tools
def test_amtool_takes_the_configuration() -> None:
    done = ran("amtool", "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr
