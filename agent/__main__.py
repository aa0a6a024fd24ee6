"""`python -m agent`: the same as `renzheng`."""

from agent.cli.main import main

main()
