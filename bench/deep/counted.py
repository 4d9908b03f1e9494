"""One hot function a given number of times: the process that valgrind watches.

`python -m bench.deep.counted NAME ROUNDS`
"""

import sys

from bench.deep.work import WORK


def main() -> None:
    name, rounds = sys.argv[1], int(sys.argv[2])
    function = WORK[name](False)
    function()  # caches and lazy imports are filled
    for _ in range(rounds):
        function()


if __name__ == "__main__":
    main()
