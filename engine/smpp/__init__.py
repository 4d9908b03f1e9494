"""SMPP 3.4 as an ESME: tables, codec, text, a sans-IO session, and the asyncio link that carries it."""
