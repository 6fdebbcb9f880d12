"""`python -m canvaslm`: the `canvaslm` command."""

from canvaslm.cli.app import main

if __name__ == "__main__":
    main()
