"""The Core API's published types: what the control plane may know of the engine. One file a subject."""

from engine.core_api.schema.base import *  # noqa: F403
from engine.core_api.schema.campaigns import *  # noqa: F403
from engine.core_api.schema.channels import *  # noqa: F403
from engine.core_api.schema.doubts import *  # noqa: F403
from engine.core_api.schema.engine import *  # noqa: F403
from engine.core_api.schema.errors import *  # noqa: F403
from engine.core_api.schema.money import *  # noqa: F403
from engine.core_api.schema.options import *  # noqa: F403
from engine.core_api.schema.people import *  # noqa: F403
from engine.core_api.schema.receipts import *  # noqa: F403
from engine.core_api.schema.records import *  # noqa: F403
from engine.core_api.schema.rendered import *  # noqa: F403
from engine.core_api.schema.retention import *  # noqa: F403
from engine.core_api.schema.routes import *  # noqa: F403
from engine.core_api.schema.stops import *  # noqa: F403
from engine.core_api.schema.texts import *  # noqa: F403
from engine.core_api.schema.uploads import *  # noqa: F403
from engine.core_api.schema.verify import *  # noqa: F403
