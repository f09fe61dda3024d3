"""Write docs/results.schema.json, the published format of results.json, from mlipbench.core.result."""

import json
from pathlib import Path

from mlipbench.core.result import Results

schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Results.model_json_schema()
Path(__file__).with_name("results.schema.json").write_text(json.dumps(schema, indent=1) + "\n")
