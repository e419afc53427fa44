"""Answers as the child of a recording did, word for word: `python recorded_nvml_child.py child.jsonl`."""

import json
import os
import sys
from pathlib import Path

from collectors.gpu.nvml_frames import frame, take

said = [json.loads(line)["body"] for line in Path(sys.argv[1]).read_text().splitlines() if '"body"' in line]
heard = bytearray()
while said:
    body = said.pop(0)
    os.write(1, frame(json.dumps(body).encode()))
    # Xids are told unasked; before every look a question is waited for.
    while said and said[0]["type"] == "look" and take(heard) is None:
        more = os.read(0, 65536)
        if not more:
            sys.exit(0)
        heard += more
