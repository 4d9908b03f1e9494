"""The SMPP libraries for Python that are measured beside ours, and those that cannot be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """`share`: of the messages it gets, so that a slow one does not hold up the run. `pipelined`: how its
    window is filled."""

    name: str
    requirements: tuple[str, ...]
    licence: str
    driver: str
    share: float
    pipelined: str


PEERS = (
    Peer("smpp34", ("smpp34",), "MIT", "smpp34_driver.py", 0.05, "1,000 tasks"),
    Peer("smpplib", ("smpplib",), "LGPL-3.0", "smpplib_driver.py", 0.02, "reads while full"),
    Peer("aiosmpplib", ("aiosmpplib",), "MIT", "aiosmpplib_driver.py", 0.01, "semaphore before its queue"),
    Peer("rusmppyc", ("rusmppyc>=0.4.0a2",), "MIT or Apache-2.0", "rusmppyc_driver.py", 0.02, "1,000 tasks"),
    Peer("naz", ("naz",), "MIT", "naz_driver.py", 0.01, "semaphore before its queue"),
    Peer("aiosmpp", ("aiosmpp",), "MIT", "aiosmpp_driver.py", 0.01, "reads while full"),
    Peer(
        "smpp.twisted3",
        ("smpp.twisted3", "pyopenssl", "service-identity"),
        "Apache-2.0",
        "twisted_driver.py",
        0.01,
        "a Deferred a message",
    ),
    Peer("python-smpp", ("python-smpp",), "BSD", "python_smpp_driver.py", 0.01, "waits for each"),
)

# Published, and nothing to send messages with.
NO_CLIENT = {
    "smppy": "a server only",
    "smpp.pdu3": "a codec only",
    "smpp-gateway": "smpplib in a Django project",
}
