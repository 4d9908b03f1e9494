"""`python -m bench.simulators.proxy`."""

from bench.simulators.proxy.cli import proxy

proxy(prog_name="heliograph proxy")
