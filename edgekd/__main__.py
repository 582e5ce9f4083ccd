"""Lets ``python -m edgekd`` and ``torchrun -m edgekd`` be the command edgekd."""

from edgekd.cli.main import main

if __name__ == "__main__":
    main()
