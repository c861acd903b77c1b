"""A mirror of the contacts, as another system would keep one: it reads again whatever the feed says has changed."""

from typing import Any

#: what is compared of the rows of each list; times and counts of repetitions are left out
LISTS = {
    "/identities": ("type", "source", "value", "is_primary", "verified", "contested"),
    "/consents": ("channel", "purpose", "status", "address", "source", "external_id", "occurred_at", "expires_at"),
    "/suppressions": ("channel", "reason", "scope", "address", "active", "expires_at"),
    "/tags": ("name", "source"),
}
#: what a contact shows, and its change log tells
FIELDS = ("name", "email", "phone_number", "tags")


class Mirror:
    """Keeps a copy of every contact, and hears of changes from the feed alone."""

    def __init__(self, api) -> None:
        self._api = api
        self._place = {"updated_after": "2000-01-01T00:00:00Z"}
        self.copies: dict[str, Any] = {}

    def follow(self) -> None:
        """Read the feed to its end, and whatever it says has changed."""
        while True:
            answer = self._api.ask("GET", "", params={**self._place, "include": "removed"})
            assert answer.status_code == 200, answer.text
            page = answer.json()
            for row in page["data"]:
                self.copies.pop(row["id"], None)
                if not row.get("removed"):
                    self.copies[row["id"]] = self._load(row["id"])
            if page["meta"]["next_cursor"] is None:
                return
            self._place = {"cursor": page["meta"]["next_cursor"]}

    def check(self) -> None:
        """Compare the copies with the store, and each contact with what its change log adds up to."""
        assert self.copies.keys() == {row["id"] for row in self._api.rows(None)}
        for id_, copy in self.copies.items():
            assert copy == self._load(id_)
            contact, logged = self._api.contact(id_), self._logged(id_)
            shown = {name: contact[name] for name in FIELDS}
            for row in self._api.rows(id_, "/consents"):
                shown[f"consent:{row['channel']}:{row['purpose']}"] = row["status"]
            told = {name for name in logged if name in shown or name.startswith("consent:")}
            assert {name: logged[name] for name in told if logged[name]} == {k: v for k, v in shown.items() if v}

    def _load(self, id_: str) -> Any:
        lists = {
            rest: sorted(str([row[name] for name in names]) for row in self._api.rows(id_, rest))
            for rest, names in LISTS.items()
        }
        answers = [self._api.sendable(id_, channel) for channel in ("email", "sms")]
        return {**lists, "contact": self._api.contact(id_), "answers": answers}

    def _logged(self, id_: str) -> dict[str, Any]:
        """Add up a change log from its beginning; each entry has to begin where the one before it ended."""
        state: dict[str, Any] = {}
        for entry in reversed(self._api.rows(id_, "/timeline")):
            if entry["contact_id"] == id_:
                for change in entry["fields"]:
                    if change["field"] == "tags":  # what went, and what came
                        had = set(state.get("tags") or ())
                        assert had.issuperset(change["before"]), entry
                        tags = had.difference(change["before"]).union(change["after"])
                        state["tags"] = sorted(tags, key=str.casefold)
                        continue
                    if change["field"] != "note" and not change["field"].startswith("suppression:"):
                        assert (change["before"] or None) == (state.get(change["field"]) or None), entry
                    state[change["field"]] = change["after"]
                if entry["kind"] in ("removed", "merged"):
                    state = {}
        return state
