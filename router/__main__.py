"""`python -m router` is `ringway`."""

import sys

from router.cli import main

sys.exit(main())
