"""``python -m kvtui``."""

from kvtui.cli import run

if __name__ == "__main__":
    run()
