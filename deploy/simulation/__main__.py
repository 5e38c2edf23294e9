"""`python -m deploy.simulation demo`: what `deploy/demo.sh` runs once everything is installed.

And `python -m deploy.simulation wan PORT cut|heal|black_hole`, for a world that `--keep` leaves running.
"""

import sys

from deploy.simulation.demo import main
from deploy.simulation.relay import RelayControl

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["demo", *rest]:
            raise SystemExit(main(rest))
        case ["wan", port, "cut" | "heal" | "black_hole" as order] if port.isdigit():
            RelayControl(int(port)).send(order)
        case _:
            raise SystemExit("usage: python -m deploy.simulation demo [--seconds N] ... | wan PORT cut|heal|black_hole")
