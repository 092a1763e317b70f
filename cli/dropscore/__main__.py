"""`python -m dropscore` is the command."""

from dropscore.main import main

main()
