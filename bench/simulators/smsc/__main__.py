"""`python -m bench.simulators.smsc`."""

from bench.simulators.smsc.cli import smsc

smsc(prog_name="heliograph smsc")
