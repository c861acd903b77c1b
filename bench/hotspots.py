"""Where the time goes: the profile of a drain, and of what ingest does for a request, in this process.

python -m bench.hotspots [drain|ingest] [EVENTS] [SORT]
"""

import asyncio
import cProfile
import pstats
import sys
import time
from collections.abc import Callable

import orjson
from sqlalchemy import event

from bench.events import DOMAIN, SECRET, events
from bench.stack import Stack, stack
from connectors.shopify.simulator import Delivery, signed
from worker.ingest import accept
from worker.store import envelopes

_LINES = 45
