"""Serves the connector of a Connector SDK project: `launcher.py PROJECT PORT`.

Runs in the project's own Python, which has none of this package; ends with the process that started it.
"""

from __future__ import annotations

import os
import sys


def main(project: str, port: str) -> None:
    """Import `connector.py` and serve the connector that it makes."""
    os.environ.pop("ConnectorSdkRemoveValueType", None)  # it empties the records' data
    os.chdir(project)
    sys.path[0] = project  # instead of the directory of this file
    import connector  # noqa: PLC0415

    connector.connector.run(port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
