"""python-smpp: its client (`smpp.esme`) is of Python 2."""

from driving import Work
from smpp.esme import ESME  # a SyntaxError on Python 3

work = Work()
ESME()
raise SystemExit("its client waits for each response and reads no receipts: not driven")
