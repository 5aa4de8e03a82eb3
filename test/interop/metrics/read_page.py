"""Reads a page of metrics from stdin with the parser of prometheus_client; prints what it found as JSON."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

page = sys.stdin.buffer.read().decode("utf-8")
families = [
    {
        "name": family.name,
        "type": family.type,
        "help": family.documentation,
        "samples": [[sample.name, sample.labels, str(sample.value)] for sample in family.samples],
    }
    for family in text_string_to_metric_families(page)
]
json.dump(families, sys.stdout)
