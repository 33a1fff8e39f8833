"""Ask the triage service about one study; whatever is not a clean "not needed" means that DCE is recommended.

python examples/triage_client.py study.zip http://127.0.0.1:8000
"""

import json
import os
import sys
import urllib.request
import uuid
from pathlib import Path


def is_dce_needed(study: Path, service: str) -> bool:
    """True unless the service answers, with nothing against it, that the patient does not need DCE."""
    try:
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="study.zip"\r\n\r\n'
        body = head.encode() + study.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if token := os.environ.get("TRIAGE_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"{service}/v1/studies?wait=120", body, headers)  # noqa: S310 - your service
        with urllib.request.urlopen(request, timeout=150) as response:  # noqa: S310
            answer = json.load(response)
            said = answer["recommendation"], answer["basis"], answer["reasons"]
            return response.status != 200 or said != ("DCE_NOT_NEEDED", "MODEL", [])
    except Exception as error:  # no answer is no "not needed"
        print(f"no answer: {type(error).__name__}", file=sys.stderr)
        return True


if __name__ == "__main__":
    print("DCE recommended" if is_dce_needed(Path(sys.argv[1]), sys.argv[2]) else "DCE not needed")
