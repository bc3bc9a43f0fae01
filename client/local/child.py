"""`python -m client.local.child PIPE MODULE [ARGUMENT …]`: run a module as `python -m` does. It ends with its parent.

PIPE is the number of an inherited pipe whose other end the parent holds: when the parent ends, for whatever reason, the
pipe closes, and this process stops as if by SIGTERM.
"""

import os
import runpy
import signal
import sys
import threading


def watch(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def end_with(pipe: int) -> None:
    """Watch from now on."""
    threading.Thread(target=watch, args=(pipe,), daemon=True).start()


def main() -> None:
    end_with(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
