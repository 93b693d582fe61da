"""``python -m spindle`` is the command line."""

from __future__ import annotations

import sys

from spindle.cli.main import main

sys.exit(main())
