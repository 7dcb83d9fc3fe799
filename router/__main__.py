"""`python -m router` is `ringway`."""

import sys

try:
    from router.cli import main
except ModuleNotFoundError as error:  # a tree whose libraries were never installed
    sys.exit(f"ringway: the library {error.name} is missing; prepare the tree with make env, or use its .venv")

sys.exit(main())
