"""Lengths of the specification that operators break: said, not refused."""


def field_warnings(
    *, system_id: str = "", password: str = "", system_type: str = "", service_type: str = ""
) -> list[str]:
    """What is longer than SMPP 3.4 §5.2 allows, without the NUL. Many SMSCs take it all the same."""
    given = {
        "system_id": (system_id, 15),
        "password": (password, 8),
        "system_type": (system_type, 12),
        "service_type": (service_type, 5),
    }
    return [
        f"{name} has {len(value)} characters, the specification allows {most}"
        for name, (value, most) in given.items()
        if len(value) > most
    ]
