"""The entry point that Fivetran's build makes into a binary."""

import sys

from destination.cli import main

if __name__ == "__main__":
    sys.exit(main())
