"""`make fuzz`: schemathesis over the document of every surface, against a gateway with simulated providers.

It is made from the document, so that what is documented is what is tried: every operation, with good and with bad
parameters and bodies. The law is that no answer is a 5xx, and each is one that the document tells of: its status and
the type of its content. Arguments go on to `schemathesis run`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.acceptance.driving import world_in


def main() -> int:
    """Run it; its exit code."""
    with tempfile.TemporaryDirectory() as folder, world_in(Path(folder)) as world:
        checks = "not_a_server_error,status_code_conformance,content_type_conformance"
        command = ["schemathesis", "run", f"{world.url}/openapi.json", "--checks", checks]
        # A simulated model drafts no workflow, which is the provider's fault (502) and true.
        command += ["--exclude-path", "/api/workflows/plan"]
        # Beside this Python, whether or not its folder is on the path.
        command[0] = str(Path(sys.executable).with_name(command[0]))
        return subprocess.run([*command, "--continue-on-failure", *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
