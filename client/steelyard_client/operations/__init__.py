"""Every call of the gateway by name: one file for each group of addresses, as in `answers`."""

from steelyard_client.operations.administration import Administration
from steelyard_client.operations.dwa import Dwa
from steelyard_client.operations.executions import Executions
from steelyard_client.operations.health import Health
from steelyard_client.operations.keys import Keys
from steelyard_client.operations.mcp import Mcp
from steelyard_client.operations.records import Records
from steelyard_client.operations.responses import Responses
from steelyard_client.operations.routing import Routing
from steelyard_client.operations.schedules import Schedules
from steelyard_client.operations.spend import Spend
from steelyard_client.operations.workflows import Workflows


class Operations(
    Routing, Dwa, Records, Responses, Health, Workflows, Executions, Schedules, Mcp, Spend, Keys, Administration
):
    """All of them."""
