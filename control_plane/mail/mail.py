"""E-mail over the SMTP server of the settings: plain text, one message to one person."""

import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib
import structlog

from control_plane.settings import ControlPlaneSettings

log = structlog.get_logger(__name__)


class Mail:
    """Sends nothing where no server is set: who asked is told, and gets the link to hand on themselves."""

    def __init__(self, settings: ControlPlaneSettings, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: of the server's certificate, where it is not the system's to judge."""
        self._settings = settings
        self._tls = tls

    @property
    def configured(self) -> bool:
        return bool(self._settings.smtp_host)

    def link(self, path: str) -> str:
        """An address of this console as others reach it: by the setting, never by a request's Host header."""
        return self._settings.base_url + path

    async def send(self, to: str, subject: str, text: str) -> bool:
        """Whether the server took it. False where none is set, or it refused: the reason is logged."""
        settings = self._settings
        if not self.configured:
            return False
        try:
            await aiosmtplib.send(
                self._message(to, subject, text),
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                use_tls=settings.smtp_tls == "tls",
                start_tls=settings.smtp_tls == "starttls",
                tls_context=self._tls,
                username=settings.smtp_user or None,
                password=settings.smtp_password.get_secret_value() or None,
                timeout=settings.smtp_timeout_s,
            )
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            # Not the text of the error: a server may repeat what it was sent.
            log.warning("e-mail not sent", reason=type(error).__name__, code=getattr(error, "code", None))
            return False
        return True

    def _message(self, to: str, subject: str, text: str) -> EmailMessage:
        """ValueError for an address or subject with a line end."""
        message = EmailMessage()
        sender = self._settings.smtp_from
        message["From"] = sender
        message["To"] = to
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].rstrip(">") or None)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message
