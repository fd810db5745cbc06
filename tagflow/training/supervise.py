"""The name by which tagflow 0.1 started a detached run: `python -m tagflow.training.supervise RUN`.

A run of that version may still be told to go on by this name; the program is in start/detach.py.
"""

from tagflow.training.start.detach import main

if __name__ == "__main__":
    raise SystemExit(main())
