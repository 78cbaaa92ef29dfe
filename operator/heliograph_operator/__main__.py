"""``python -m heliograph_operator`` is the command ``heliograph-operator``."""

from heliograph_operator.cli import main

if __name__ == "__main__":
    main()
