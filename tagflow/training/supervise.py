"""The name by which tagflow 0.1 started a detached run; open it only to end the support of that version.

A run of that version may still be told to go on by `python -m tagflow.training.supervise RUN`; the program is
in start/detach.py.
"""

from tagflow.training.start.detach import main

if __name__ == "__main__":
    raise SystemExit(main())
