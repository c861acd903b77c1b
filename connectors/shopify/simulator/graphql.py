"""The GraphQL answers of a simulated shop, with Shopify's costs, limits and mistakes.

https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.shopify.simulator.bulk import Bulk
from connectors.shopify.simulator.customers import FIELDS, Body, Population
from connectors.shopify.simulator.faults import Faults
from connectors.shopify.simulator.shop import signed
from connectors.simulation.deliveries import Delivery

MOST_POINTS = 1_000  #: of one query
DEEPEST = 25_000  #: rows that one listing can be paged through
_UPDATED = re.compile(r"updated_at:>='(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d))'")
_DAY = 86_400
_OBJECTS = {"amountSpent": 1, "lastOrder": 1, "defaultEmailAddress": 1, "defaultPhoneNumber": 2, "defaultAddress": 1}


class QueryError(Exception):
    """The whole query is refused."""

    def __init__(self, message: str, code: str | None = None, **extensions: Any) -> None:
        super().__init__(message)
        self.shown: Body = {"message": message, "locations": [{"line": 1, "column": 1}]}
        if code is not None:
            self.shown["extensions"] = {"code": code, **extensions}


class Api:
    """The GraphQL API of one shop."""

    def __init__(
        self,
        customers: Population,
        bulk: Bulk,
        faults: Faults,
        clock: Callable[[], float],
        restore_rate: int,
    ) -> None:
        self.webhooks: dict[str, Body] = {}
        self._customers = customers
        self._bulk = bulk
        self._faults = faults
        self._clock = clock
        self._restore_rate = restore_rate
        self._most = 20 * restore_rate
        self._available = float(self._most)
        self._counted_at = clock()
        self._webhooks_added = 0
        self._operations: Mapping[str, Callable[[str, Body, str], Body]] = {
            "Customers": self._list,
            "CustomersById": self._by_id,
            "BulkStart": self._bulk_start,
            "BulkState": self._bulk_state,
            "Webhooks": self._webhook_list,
            "WebhookCreate": self._webhook_create,
            "WebhookUpdate": self._webhook_update,
            "WebhookDelete": self._webhook_delete,
        }

    def answer(self, operation: str, query: str, variables: Body, base_url: str) -> Body:
        """Return the body of an answer with HTTP 200."""
        requested = self._cost(operation, query, variables)
        self._restore()
        try:
            answered = self._answered(operation, query, variables, base_url, requested)
        except QueryError as error:
            costs = {"extensions": self._costs(requested, None)} if str(error) == "Throttled" else {}
            return {"errors": [error.shown]} | costs
        self._available -= requested
        if self._faults.takes("partial_times"):
            answered["errors"] = [{"message": "Something broke", "path": ["customers"]}]
        return answered | {"extensions": self._costs(requested, requested) | answered.get("extensions", {})}

    def _answered(self, operation: str, query: str, variables: Body, base_url: str, requested: int) -> Body:
        if requested > (most := self._faults.number("max_cost") or MOST_POINTS):
            message = f"Query cost is {requested}, which exceeds the single query max cost limit ({most})."
            raise QueryError(message, "MAX_COST_EXCEEDED", cost=requested, maxCost=most)
        if requested > self._available or self._faults.due("throttle_every"):
            raise QueryError("Throttled", "THROTTLED")
        if self._faults.due("internal_every"):
            raise QueryError("Internal error.", "INTERNAL_SERVER_ERROR")
        if operation not in self._operations or not re.search(rf"\b{operation}\b", query):
            raise QueryError("No operation of that name is known here", "undefinedField")
        return self._operations[operation](query, variables, base_url)

    def signed(self, topic: str, body: Body, secret: str, domain: str, number: int) -> Delivery:
        """Sign a webhook that is sent now."""
        sent_at = datetime.fromtimestamp(self._clock(), UTC)
        stamp = f"{sent_at:%Y-%m-%dT%H:%M:%S.%f}{number % 1000:03}Z"
        # The id has the time, because a simulator that starts again counts from 1 again.
        return signed(body, secret, topic=topic, domain=domain, sent_at=stamp, webhook_id=f"{stamp} {number}")

    def _list(self, query: str, variables: Body, _base: str) -> Body:
        first, after = int(variables["first"]), variables.get("after")
        if not 1 <= first <= 250:
            raise QueryError("first must be from 1 to 250")
        second, warning = self._from_second(variables.get("query"))
        key, depth = None, 0
        if after is not None:
            try:
                at, tie, depth = orjson.loads(base64.b64decode(after))
            except ValueError:
                raise QueryError("Invalid cursor for current pagination sort.") from None
            key = (at, tie)
            if self._faults.takes("refuse_cursor_times"):
                raise QueryError("Invalid cursor for current pagination sort.")
        if depth + first > DEEPEST:
            raise QueryError("Paginating over 25,000 objects is not supported.")
        found = self._customers.changed_since(second, key, first + 1)
        page = found[:first]
        end = after
        if page and not self._faults.takes("repeat_page_times"):
            end = base64.b64encode(orjson.dumps([*page[-1][0], depth + len(page)])).decode()
        nodes = [self._customers.customer(number) for _, number in page]
        names = [name for name in FIELDS if re.search(rf"\b{name}\b", query)]
        shown, errors = self._hidden(["customers", "nodes"], nodes, names)
        page_info = {"hasNextPage": len(found) > first, "endCursor": end}
        answered: Body = {"data": {"customers": {"nodes": shown, "pageInfo": page_info}}}
        if errors:
            answered["errors"] = errors
        return answered | ({"extensions": {"search": [warning]}} if warning else {})

    def _from_second(self, search: str | None) -> tuple[int, Body | None]:
        if not search:
            return 0, None
        found = _UPDATED.fullmatch(search)
        if found is None:  # an unknown field, or a time without quotes, matches everything
            warning = {"field": "query", "message": "Invalid search field for this query.", "code": "invalid_field"}
            return 0, {"path": ["customers"], "query": search, "warnings": [warning]}
        if not found[1].endswith("Z"):  # another offset finds nothing, without an error
            return 2**40, None
        second = int(datetime.fromisoformat(found[1]).timestamp())
        return (second - second % _DAY if self._faults.is_on("whole_days") else second), None

    def _by_id(self, query: str, variables: Body, _base: str) -> Body:
        ids = variables["ids"]
        if len(ids) > 250:
            raise QueryError("The input array size is greater than the maximum allowed of 250.", "MAX_INPUT_SIZE")
        if any(not re.fullmatch(r"gid://shopify/\w+/\d+", gid) for gid in ids):
            raise QueryError("Variable $ids of type [ID!]! was provided invalid value", "INVALID_VARIABLE")
        numbers = [self._customers.number_of(gid) for gid in ids]
        nodes = [None if number is None else self._customers.customer(number) for number in numbers]
        names = [name for name in FIELDS if re.search(rf"\b{name}\b", query)]
        shown, errors = self._hidden(["nodes"], nodes, names)
        answered: Body = {"data": {"nodes": shown}}
        return answered | ({"errors": errors} if errors else {})

    def _hidden(
        self, path: list[str], nodes: list[Body] | list[Body | None], names: list[str]
    ) -> tuple[list[Body | None], list[Body]]:
        """Blank the fields that the app may not see; return the nodes, and an error for each blank."""
        errors: list[Body] = []
        shown: list[Body | None] = []
        refused = {"unapproved": "This app is not approved to access the Customer object.", "deny": "Access denied."}
        for place, node in enumerate(nodes):
            shown.append(node and {name: node[name] for name in names})
            for kind, message in refused.items():
                for name in self._faults.names(kind) & set(names if node else ()):
                    shown[place] = (shown[place] or {}) | {name: None}
                    error: Body = {"message": message, "path": [*path, place, name]}
                    errors.append(error | ({"extensions": {"code": "ACCESS_DENIED"}} if kind == "deny" else {}))
        return shown, errors

    def _bulk_start(self, _query: str, variables: Body, _base: str) -> Body:
        inner = variables["query"]
        names = tuple(name for name in FIELDS if re.search(rf"\b{name}\b", inner))
        return {"data": {"bulkOperationRunQuery": self._bulk.run(inner, names)}}

    def _bulk_state(self, _query: str, variables: Body, base: str) -> Body:
        return {"data": {"bulkOperation": self._bulk.shown(variables["id"], base)}}

    def _webhook_list(self, _query: str, variables: Body, _base: str) -> Body:
        ours = list(self.webhooks.values())
        start, first = int(variables.get("after") or 0), int(variables["first"])
        page = {"hasNextPage": start + first < len(ours), "endCursor": str(start + first)}
        return {"data": {"webhookSubscriptions": {"nodes": ours[start : start + first], "pageInfo": page}}}

    def _webhook_create(self, _query: str, variables: Body, _base: str) -> Body:
        topic, subscription = variables["topic"], variables["subscription"]
        if topic in self._faults.names("deny_topics"):
            raise QueryError("Access denied for webhookSubscriptionCreate field.", "ACCESS_DENIED")
        key = (topic, subscription["uri"], subscription.get("filter"))
        if key in {(known["topic"], known["uri"], known["filter"]) for known in self.webhooks.values()}:
            return {"data": {"webhookSubscriptionCreate": self._taken()}}
        return {"data": {"webhookSubscriptionCreate": self._saved(self.add_webhook(topic, subscription["uri"]))}}

    def add_webhook(self, topic: str, uri: str, **other: Any) -> Body:
        """Register a webhook, as the shop or an older version of the app would."""
        self._webhooks_added += 1
        gid = f"gid://shopify/WebhookSubscription/{self._webhooks_added}"
        webhook = {"id": gid, "topic": topic, "uri": uri, "format": "JSON", "includeFields": [], "filter": ""}
        self.webhooks[gid] = webhook | {"apiVersion": {"handle": "2026-10"}} | other
        return self.webhooks[gid]

    def _webhook_update(self, _query: str, variables: Body, _base: str) -> Body:
        known = self.webhooks[variables["id"]]
        subscription = variables["subscription"]
        known |= {name: subscription[name] for name in ("format", "uri", "includeFields") if name in subscription}
        known |= {"apiVersion": {"handle": "2026-10"}, "filter": subscription.get("filter") or ""}
        return {"data": {"webhookSubscriptionUpdate": self._saved(known)}}

    def _webhook_delete(self, _query: str, variables: Body, _base: str) -> Body:
        self.webhooks.pop(variables["id"], None)
        return {"data": {"webhookSubscriptionDelete": {"deletedWebhookSubscriptionId": "", "userErrors": []}}}

    def _saved(self, known: Body) -> Body:
        return {"webhookSubscription": {"id": known["id"]}, "userErrors": []}

    def _taken(self) -> Body:
        error = {"field": ["webhookSubscription"], "message": "Address for this topic has already been taken"}
        return {"webhookSubscription": None, "userErrors": [error]}

    def _cost(self, operation: str, query: str, variables: Body) -> int:
        """Count the objects in a query, by the formula in the documentation."""
        if operation not in ("Customers", "CustomersById"):
            return 10 if query.lstrip().startswith("mutation") else 1
        each = 1 + sum(points for name, points in _OBJECTS.items() if name in query)
        return each * int(variables.get("first") or len(variables.get("ids", ()))) + 1

    def _restore(self) -> None:
        now = self._clock()
        self._available = min(self._most, self._available + (now - self._counted_at) * self._restore_rate)
        self._counted_at = now

    def _costs(self, requested: int, actual: int | None) -> Body:
        status = {"maximumAvailable": self._most, "currentlyAvailable": int(self._available)}
        status["restoreRate"] = self._restore_rate
        return {"cost": {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}}
