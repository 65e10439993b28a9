"""The alert rules fire when they should, and neither they nor the dashboard ask for what is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from system import ROOT
from yaml import safe_load

from connector.metrics import METRICS

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "crm-connector.json"

_NAME = re.compile(r"\bconnector_[a-z_]+")
_MATCHERS = re.compile(r"(connector_[a-z_]+)\{([^}]*)\}")


def series() -> dict[str, tuple[str, ...]]:
    """Every series that `/metrics` can have, with its labels."""
    found: dict[str, tuple[str, ...]] = {}
    for name, known in METRICS.items():
        if known.kind == "histogram":
            found[f"{name}_bucket"] = (*known.labels, "le")
            found |= {f"{name}_sum": known.labels, f"{name}_count": known.labels}
        else:
            found[name] = known.labels
    return found


def expressions() -> Iterator[tuple[str, str]]:
    for rule in safe_load(RULES.read_text())["groups"][0]["rules"]:
        yield rule["alert"], rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=lambda value: value[:40])
def test_an_expression_asks_for_series_and_labels_that_there_are(
    where: str, expression: str
) -> None:
    known = series()
    names = _NAME.findall(expression)
    assert names
    assert set(names) <= known.keys()
    for name, matchers in _MATCHERS.findall(expression):
        assert set(re.findall(r"(\w+)\s*[=!]~?\"", matchers)) <= set(known[name])
    grouped = {
        label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")
    }
    assert grouped <= {label for name in names for label in known[name]}


def test_labels_that_legends_show_are_those_of_their_expression() -> None:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            has = {label for name in _NAME.findall(target["expr"]) for label in series()[name]}
            assert shown <= has, panel["title"]


def test_every_metric_that_wants_an_alert_is_in_a_rule_or_on_the_dashboard() -> None:
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for _, expression in EXPRESSIONS
        for name in _NAME.findall(expression)
    }
    wanted = {name for name, known in METRICS.items() if known.alert}
    assert wanted - asked == {"connector_spooled_total"}  # connector_spool_events says it


def test_every_rule_says_what_to_do() -> None:
    for rule in safe_load(RULES.read_text())["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["action"].endswith((".", "?"))


def test_verbs_that_rules_name_are_verbs() -> None:
    import click
    from docpages import spans

    from connector.cli import main

    for rule in safe_load(RULES.read_text())["groups"][0]["rules"]:
        for span in spans(rule["annotations"]["action"]):
            words = span.removeprefix("connector ").split()
            verb: Any = main
            for word in words:
                verb = verb.get_command(click.Context(verb), word)
                assert verb is not None, span


def test_every_rule_is_tried_firing_and_silent() -> None:
    tried: dict[str, set[bool]] = {}
    for test in safe_load((DEPLOY / "prometheus" / "alerts_test.yaml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    rules = {rule["alert"] for rule in safe_load(RULES.read_text())["groups"][0]["rules"]}
    assert tried == {name: {True, False} for name in rules}


def test_the_rules_do_what_their_tests_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    for command in (
        ["check", "rules", "alerts.yaml"],
        ["check", "config", "prometheus.yaml"],
        ["test", "rules", "alerts_test.yaml"],
    ):
        done = subprocess.run(
            [promtool, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["uid"] == "crm-connector"
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource"]
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
