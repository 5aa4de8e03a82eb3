"""Reads YAML blocks of docs/reference/metrics.md from stdin, a JSON list; prints what they hold and the parsed alerts as JSON."""

import json
import sys

import promql_parser
import yaml

documents = [yaml.safe_load(text) for text in json.load(sys.stdin)["yaml"]]
rules = [rule for each in documents for group in each.get("groups", []) for rule in group["rules"]]
for rule in rules:
    promql_parser.parse(rule["expr"])
json.dump({"keys": [sorted(each) for each in documents], "rules": rules}, sys.stdout)
