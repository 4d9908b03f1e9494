"""The HTTP face of the engine: Starlette under mutual TLS, over the ledger and the dispatcher."""
