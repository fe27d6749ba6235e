"""The dashboards, as their source: `python -m grafana.boards` (`make dashboards`) writes grafana/dashboards from here.

A board is a list of rows of panels; `drawing` knows what Grafana wants to read. Tests hold every expression to the
metrics that there are, and ask a real Prometheus for each.
"""

from __future__ import annotations

from grafana.boards.cache import CACHE
from grafana.boards.cost import COST
from grafana.boards.inside import INSIDE
from grafana.boards.providers import PROVIDERS
from grafana.boards.traffic import TRAFFIC
from grafana.boards.workflows import WORKFLOWS

#: File name without its ending → board.
BOARDS = {
    "traffic": TRAFFIC,
    "providers": PROVIDERS,
    "cost": COST,
    "cache": CACHE,
    "workflows": WORKFLOWS,
    "gateway": INSIDE,
}
